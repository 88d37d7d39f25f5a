"""The output: a folder of Parquet parts, one for each unit of work. What is written is the list of what is done.

A part's name says which unit it holds: `part-NUMBER-CHECKSUM.parquet`. It appears whole, in one step. `_digitnet.json`
holds the settings that all parts were made with; readers of Parquet skip files whose names begin with `_`.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from digitnet import spreadsheet
from digitnet.archives.sources import Unit, is_url
from digitnet.errors import DigitNetError, SaveError, UsageError
from digitnet.files import replaced, write_atomically

SETTINGS = "_digitnet.json"
TABLE_SUFFIXES = (".csv", ".jsonl")
Settings = Mapping[str, Any]


def part_name(number: int, unit: Unit) -> str:
    """The name of the file for a unit, the `number`-th of its run."""
    return f"part-{number:06d}-{unit.key}.parquet"


@dataclass(frozen=True)
class Parts:
    """The folder of parts, at a path or a URL. It can be sent to other processes and machines."""

    folder: str

    def begin(self, settings: Settings) -> None:
        """Makes the folder, or goes on with one that was begun with the same settings.

        Raises:
            UsageError: the folder holds other things, or was begun with other settings.
            SaveError: it cannot be written.
        """
        with _storing(f"{self.folder}: cannot be opened", "choose a folder that can be written"):
            fs, path = fsspec.core.url_to_fs(self.folder)
            names = {name.rpartition("/")[2] for name in fs.ls(path, detail=False)} if fs.exists(path) else set()
            if SETTINGS in names:
                self._check(settings, json.loads(fs.cat_file(f"{path}/{SETTINGS}")))
                return
            if visible := sorted(name for name in names if not name.startswith(".")):
                raise UsageError(f"{self.folder}: holds other things ({visible[0]}); choose a new or empty folder")
            fs.makedirs(path, exist_ok=True)
        self._write(SETTINGS, json.dumps(settings, indent=2).encode())

    def done(self) -> set[str]:
        """The names of the parts that are written."""
        with _storing(f"{self.folder}: cannot be read", "look at the folder and your rights"):
            fs, path = fsspec.core.url_to_fs(self.folder)
            names = [name.rpartition("/")[2] for name in fs.ls(path, detail=False, refresh=True)]
        return {name for name in names if name.startswith("part-") and name.endswith(".parquet")}

    def write(self, name: str, table: pa.Table, settings: Settings) -> None:
        """Writes a part in one step. Raises SaveError where that is not possible; nothing of it is then there."""
        metadata = {f"digitnet.{key}": json.dumps(value) for key, value in settings.items()}
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd")
        self._write(name, buffer.getvalue())

    def tables(self, names: Iterable[str]) -> Iterator[pa.Table]:
        """The parts of these names, one after another."""
        fs, path = fsspec.core.url_to_fs(self.folder)
        for name in names:
            with self._reading(name), fs.open(f"{path}/{name}", "rb") as file:
                table = pq.read_table(file)
            yield table

    def errors(self, names: Iterable[str]) -> int:
        """How many rows of these parts have an error. Only the parts' statistics are read."""
        fs, path = fsspec.core.url_to_fs(self.folder)
        total = 0
        for name in names:
            with self._reading(name), fs.open(f"{path}/{name}", "rb") as file:
                facts = pq.read_metadata(file)
            for group in map(facts.row_group, range(facts.num_row_groups)):
                total += group.num_rows - group.column(facts.num_columns - 1).statistics.null_count  # the last: error
        return total

    def _check(self, settings: Settings, before: Settings) -> None:
        for key, value in settings.items():
            if key != "versions" and before.get(key) != value:
                raise UsageError(
                    f"{self.folder}: begun with {key} = {json.dumps(before.get(key))}, but now {key} = "
                    f"{json.dumps(value)}; go on with the settings of before, or choose another output"
                )

    def _write(self, name: str, content: bytes) -> None:
        if not is_url(self.folder):
            write_atomically(Path(self.folder, name), content)
            return
        with _storing(f"{self.folder}/{name}: cannot be saved", "check the space and your rights"):
            fs, path = fsspec.core.url_to_fs(self.folder)
            fs.pipe_file(f"{path}/{name}", content)  # an object store shows an object when it is complete

    def _reading(self, name: str) -> contextlib.AbstractContextManager[None]:
        return _storing(f"{self.folder}/{name}: cannot be read", "delete it, and the same command makes it again")


@contextlib.contextmanager
def _storing(problem: str, cure: str) -> Iterator[None]:
    """Turns whatever a file system or a format raises into a SaveError."""
    try:
        yield
    except DigitNetError:
        raise
    except Exception as error:  # each file system of fsspec raises errors of its own
        raise SaveError(f"{problem} ({error}); {cure}") from error


def remove_half_parts(folder: Path) -> None:
    """Removes half-written parts of killed runs. The caller must hold the folder's lock."""
    for leftover in folder.glob(".*.partial"):
        leftover.unlink(missing_ok=True)


def write_small_table(path: Path, tables: Iterable[pa.Table]) -> None:
    """All parts as one .csv, for spreadsheets, or one .jsonl file. Nested values are JSON in the .csv.

    Raises SaveError where the file cannot be written.
    """
    with replaced(path) as binary:
        is_csv = path.suffix == ".csv"
        file = io.TextIOWrapper(binary, encoding=spreadsheet.ENCODING if is_csv else "utf-8", newline="")
        for number, table in enumerate(tables):
            if is_csv and number == 0:
                file.write(spreadsheet.row(table.column_names) + "\r\n")
            for row in table.to_pylist():
                file.write(_csv_row(row) + "\r\n" if is_csv else json.dumps(row) + "\n")
        file.detach()  # all of it is in the binary file now, which is not closed yet


def _csv_row(row: Mapping[str, Any]) -> str:
    return spreadsheet.row(json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in row.values())
