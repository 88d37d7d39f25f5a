"""Corrections: pictures that a user labelled, kept in a folder that `digitnet test --data` reads."""

import csv
import io
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ImageOps

from digitnet import files
from digitnet.errors import SaveError, UsageError
from digitnet.reading.container_limits import opened
from digitnet.reading.encoding import png
from digitnet.reading.load import FORMATS, WORKING_SIDE, decoding, is_deep, load
from digitnet.reading.work import IsCancelled
from digitnet.results import Box
from digitnet.serving.problem import Problem

TABLE = "labels.csv"
SEEN = "seen"  # the folder with the normalised 28x28 pictures
MARGIN = 0.25  # of the longer side of a box; the picture keeps this much around the box
DIGITS = frozenset("0123456789")
QUOTA_BYTES = 2**30  # of a folder; many thousand corrections of the web page

Row = dict[str, str]


@dataclass(frozen=True)
class Correction:
    """A picture with its right digit.

    Attributes:
        file: the name of the picture in the folder.
        label: the digit that it shows, 0 to 9.
        time: when it was kept, as in ISO 8601; None if the table does not say.
    """

    file: str
    label: int
    time: str | None


class Corrections:
    """A folder of corrections; may be shared between threads.

    Each correction is a picture, its normalised 28x28 picture in the folder `seen`, its label and the time. The table
    decides what is there: a picture without a row is no correction, and no other file can be reached. Rows that a user
    added count if they name a picture in this folder and its digit; other rows stay and are left alone.

    Attributes:
        folder: where they are.

    Args:
        quota: the bytes that the files of the folder may have together.

    Raises UsageError if the folder cannot be made.
    """

    def __init__(self, folder: Path, quota: int = QUOTA_BYTES) -> None:
        self.folder = folder
        self._quota = quota
        self._lock = threading.Lock()
        self._cached: tuple[tuple[int, ...], dict[str, Correction]] = (), {}
        try:
            (folder / SEEN).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be made ({error.strerror}); choose a folder that can be written"
            ) from error

    def keep(self, picture: bytes, normalised: npt.NDArray[np.float32], label: int) -> str:
        """Keeps a picture with its label, and returns the name of its file.

        Args:
            picture: the bytes of a PNG file.
            normalised: (28, 28) in [0, 1], what DigitNet saw.

        Raises SaveError if it cannot be written, BusyError if another process is writing there, and Problem if the
        quota is used up. Nothing is kept in these cases.
        """
        now = datetime.now(UTC)
        # The name is made here and never from the request, so it cannot lead out of the folder.
        name = f"{now:%Y%m%dT%H%M%S}-{label}-{secrets.token_hex(4)}.png"
        row = {"file": name, "label": str(label), "seen": f"{SEEN}/{name}", "time": now.isoformat(timespec="seconds")}
        with self._lock, files.locked(self._table):
            if self._bytes() + len(picture) > self._quota:
                raise Problem(507, f"corrections may fill {self._quota / 2**20:g} MiB, which are full; delete some")
            try:
                files.write_atomically(self.folder / name, picture)
                files.write_atomically(self.folder / SEEN / name, png(normalised))
                files.write_atomically(self._table, _with_row(self._table, row))
            except SaveError:
                self._remove_pictures(name)
                raise
        return name

    def all(self) -> list[Correction]:
        """The corrections in the order of the table, the last kept last. Raises SaveError if it cannot be read."""
        return list(self._kept().values())

    def path(self, name: str) -> Path:
        """Where the picture of a correction is. Raises Problem if there is no such correction."""
        if name not in self._kept():
            raise _unknown(name)
        return self.folder / name

    def relabel(self, name: str, label: int) -> None:
        """Gives a correction another label. Errors are those of `keep` and `path`."""
        self._change(name, lambda row: [{**row, "label": str(label)}])

    def delete(self, name: str) -> None:
        """Deletes a correction with its pictures. Errors are those of `keep` and `path`."""
        self._change(name, lambda row: [])
        self._remove_pictures(name)  # a crash before this leaves pictures without a row, which do no harm

    @property
    def _table(self) -> Path:
        return self.folder / TABLE

    def _bytes(self) -> int:
        """Of all files in the folder; those in `seen` are tiny."""
        with os.scandir(self.folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())

    def _kept(self) -> dict[str, Correction]:
        """The corrections by their files. The table is read again only after it has changed."""
        try:
            state = self._table.stat()
        except FileNotFoundError:
            return {}
        version = state.st_ino, state.st_mtime_ns, state.st_size
        if version != self._cached[0]:
            rows = [row for row in _read(self._table)[1] if _is_correction(row)]
            found = {row["file"]: Correction(row["file"], int(row["label"]), row.get("time") or None) for row in rows}
            self._cached = version, found
        return self._cached[1]

    def _change(self, name: str, changed: Callable[[Row], list[Row]]) -> None:
        """Replaces the row of a correction."""
        with self._lock, files.locked(self._table):
            columns, rows = _read(self._table)
            found = [_is_correction(row) and row["file"] == name for row in rows]
            if not any(found):
                raise _unknown(name)
            kept = [one for row, is_it in zip(rows, found, strict=True) for one in (changed(row) if is_it else [row])]
            files.write_atomically(self._table, _written(columns, kept))

    def _remove_pictures(self, name: str) -> None:
        for folder in (self.folder, self.folder / SEEN):
            (folder / name).unlink(missing_ok=True)


def _is_correction(row: Row) -> bool:
    """Whether a row of the table names a picture in the folder itself, and its digit."""
    file = row["file"] or ""
    return row["label"] in DIGITS and file not in ("", "..") and Path(file).name == file


def _unknown(name: str) -> Problem:
    return Problem(404, f"{name[:80]!r} is no correction; GET /v1/corrections lists them")


def _read(table: Path) -> tuple[list[str], list[Row]]:
    """The columns of the table and its rows; none where there is no table yet."""
    if not table.exists():
        return [], []
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SaveError(f"{table}: cannot be read ({error}); move it away") from error
    columns = list(reader.fieldnames or ())
    if not {"file", "label"} <= set(columns) or any(None in row for row in rows):
        raise SaveError(f"{table}: needs the columns file and label, separated by commas; move it away")
    return columns, rows


def _with_row(table: Path, row: Row) -> bytes:
    """The content of the table with one more row; columns that a user added stay."""
    columns, rows = _read(table)
    return _written([*columns, *(name for name in row if name not in columns)], [*rows, row])


def _written(columns: Iterable[str], rows: Iterable[Row]) -> bytes:
    """The content of a table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def crop(content: bytes, box: Box | None, name: str, is_cancelled: IsCancelled | None = None) -> bytes:
    """The picture in a file's bytes as an upright PNG without metadata; with a box, only that part and a margin.

    Its longer side has at most `WORKING_SIDE` pixels, to which a reader reduces a picture of one digit anyway.

    Raises ImageError, with the name, if the picture cannot be read; UsageError if the box is outside of the picture;
    CancelledError where `is_cancelled`, which is asked while the file is decoded, says True.
    """
    with decoding(name), opened(content, name, FORMATS, is_cancelled) as image:
        if box is None:
            image.draft(image.mode, (WORKING_SIDE, WORKING_SIDE))  # a large JPEG is not decoded whole
        ImageOps.exif_transpose(image, in_place=True)
        part = image if box is None else image.crop(_edges(box, image.size))
        if is_deep(part):  # many programs cannot show a deep PNG
            return png(load(part, name, side=WORKING_SIDE).grey)
        if part.mode not in ("1", "L", "LA", "RGB", "RGBA", "P"):
            part = part.convert("RGB")
        if max(part.size) > WORKING_SIDE:
            smooth = {"1": "L", "P": "RGBA"}.get(part.mode, part.mode)  # the modes that can be resampled
            part = ImageOps.contain(part.convert(smooth), (WORKING_SIDE, WORKING_SIDE))
        file = io.BytesIO()
        part.save(file, "PNG", exif=b"")
        return file.getvalue()


def _edges(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box with its margin, in a picture of this width and height."""
    width, height = size
    if not (box.width and box.height and box.x < width and box.y < height):
        raise UsageError(f"the box {box.x},{box.y},{box.width},{box.height} is not in the picture")
    margin = round(MARGIN * max(box.width, box.height))
    right, bottom = box.x + box.width + margin, box.y + box.height + margin
    return max(0, box.x - margin), max(0, box.y - margin), min(width, right), min(height, bottom)
