"""What a source holds, as units of work: slices of a folder, a list, an archive or a table.

The parent only plans. A worker opens the source by itself and reads its slice, so no picture travels between processes.
Nothing is ever unpacked: names inside archives are labels, never paths.
"""

import csv
import glob
import itertools
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from digitnet.archives.tar import content, tar_members
from digitnet.errors import DigitNetError, ImageError, UsageError
from digitnet.files import PICTURE_SUFFIXES, checksum
from digitnet.reading.load import MAX_BYTES

MOST_BYTES = 64 * 2**20  # of pictures' files in a unit
UNKNOWN_BYTES = 128 * 2**10  # what a picture counts whose size is not known
TABLE_SLICES = 16  # of a row group, at most; to reach a slice, all rows before it are read
LIST_SUFFIXES = (".txt", ".csv")
ARCHIVE_SUFFIXES = (".tar", ".zip", ".parquet")
PATH_COLUMNS = ("file", "path", "url", "uri", "filename", "image")
BYTES_COLUMNS = ("image", "bytes", "content", "picture")
COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

Thing = TypeVar("Thing")  # a path, or a member of an archive


class Item(NamedTuple):
    """One picture of a source.

    Attributes:
        file: its path or URL; of a picture in an archive or table, that of the archive or table.
        member: its name in the archive or table; None elsewhere.
        place: its number in the archive or table, from 0; None elsewhere.
        content: the picture's file, or the error that stands for it.
    """

    file: str
    member: str | None
    place: int | None
    content: bytes | ImageError


@dataclass(frozen=True)
class Unit:
    """A slice of a source, small enough that nothing is lost when its worker is. Its pictures become one part.

    Attributes:
        source: the path or URL of the folder, list, archive or table.
        start, stop: which of its pictures.
    """

    source: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def key(self) -> str:
        """A checksum of what the unit is. It changes when the source does."""
        return checksum(repr(self).encode("utf-8", "backslashreplace"))[:12]

    def items(self) -> Iterator[Item]:
        """The unit's pictures, in order. What cannot be read has an error in its place."""
        raise NotImplementedError


@dataclass(frozen=True)
class Files(Unit):
    """Files of a folder, a pattern or a list. The paths are kept compressed, because there may be millions."""

    digest: str
    paths: bytes = field(repr=False)

    @classmethod
    def of(cls, source: str, start: int, paths: list[str]) -> "Files":
        text = "\0".join(paths).encode("utf-8", "surrogateescape")
        return cls(source, start, start + len(paths), checksum(text), zlib.compress(text))

    def items(self) -> Iterator[Item]:
        for path in zlib.decompress(self.paths).decode("utf-8", "surrogateescape").split("\0"):
            yield Item(path, None, None, _content(path))


@dataclass(frozen=True)
class TarMembers(Unit):
    """Members of a tar. `offset` is the place of the first one's header in its file, in bytes."""

    offset: int
    bytes: int

    def items(self) -> Iterator[Item]:
        with open_source(self.source) as file:
            members = tar_members(file, self.source, self.offset)
            for index, member in zip(range(self.start, self.stop), members, strict=False):
                yield Item(self.source, member.name, index, member.problem or content(file, member))


@dataclass(frozen=True)
class ZipMembers(Unit):
    """Members of a zip."""

    bytes: int

    def items(self) -> Iterator[Item]:
        with open_source(self.source) as file, zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for index, member in enumerate(members[self.start : self.stop], self.start):
                yield Item(self.source, member.filename, index, _zip_content(archive, member, self.source))


@dataclass(frozen=True)
class TableRows(Unit):
    """Rows of a row group of a Parquet file whose `column` holds the pictures' files."""

    group: int
    first: int  # row of the group, counted in the whole table
    column: str

    def items(self) -> Iterator[Item]:
        with open_source(self.source) as file:
            table = pq.ParquetFile(file, buffer_size=2**20)
            index = self.first
            for batch in table.iter_batches(64, row_groups=[self.group], columns=[self.column], use_threads=False):
                if index + len(batch) > self.start:
                    for place, value in enumerate(batch.column(0).to_pylist(), index):
                        if self.start <= place < self.stop:
                            yield self._item(value, place)
                index += len(batch)
                if index >= self.stop:
                    return

    def _item(self, value: Any, place: int) -> Item:
        name = value.get("path") if isinstance(value, dict) else None
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            content = ImageError(f"{self.source}: row {place} holds no picture")
        return Item(self.source, name, place, content)


@dataclass(frozen=True)
class Unreadable(Unit):
    """A source, or the rest of one, that cannot be read. It has one row, with the error."""

    message: str

    def items(self) -> Iterator[Item]:
        yield Item(self.source, None, None, ImageError(self.message))


def items_or_errors(unit: Unit, readable: int | None = None, problem: str = "") -> Iterator[Item]:
    """As many items as the unit has pictures. Where its source fails or ends early, errors stand for the rest.

    Args:
        readable: the number of pictures to ask the source for; None for all. Errors with `problem` stand for the rest.
    """
    found = 0
    try:
        for item in itertools.islice(unit.items(), readable):
            yield item
            found += 1
        problem = problem or "ends early, so it has changed since it was looked through; give the same source again"
    except Exception as error:  # each file system and each format raises errors of its own
        problem = f"cannot be read any more ({_reason(error)}); look at the source, or get it again"
    for place in range(unit.start + found, unit.stop):
        yield Item(unit.source, None, place, ImageError(f"{unit.source}, row {place}: {problem}"))


def planned(source: str, most: int, column: str | None = None) -> list[Unit]:
    """The units of a source, in order: a folder, pattern, picture, .tar, .zip, list or table, as a path or a URL.

    Args:
        most: pictures in a unit, at most.
        column: of a .csv or .parquet file: what holds the paths or the pictures.

    Raises UsageError where the source is missing or holds no pictures, or a table lacks the column.
    """
    lower = source.lower()
    try:
        if lower.endswith(COMPRESSED_TARS):
            raise UsageError(f"{source}: a compressed tar can only be read from its start; uncompress it to a .tar")
        if lower.endswith(".tar"):
            units = list(_of_tar(source, most))
        elif lower.endswith(".zip"):
            units = list(_of_zip(source, most))
        elif lower.endswith(".parquet"):
            units = list(_of_table(source, most, column))
        elif lower.endswith(LIST_SUFFIXES):
            units = _of_paths(source, _sized(_listed(source, column)), most)
        else:
            units = _of_paths(source, _found(source), most)
    except DigitNetError:
        raise
    except Exception as error:  # each file system and each format raises errors of its own
        raise UsageError(_cannot_be_opened(source, error)) from error
    if not units:
        raise UsageError(f"{source}: no pictures in it; give a source with {', '.join(sorted(PICTURE_SUFFIXES))}")
    return units


def expanded(source: str) -> list[str]:
    """The sources that a pattern names: each archive and table by itself, and the pattern for its pictures.

    Raises UsageError where the place of the pattern cannot be reached.
    """
    if os.path.exists(source) or not glob.has_magic(source):
        return [source]
    if is_url(source):
        try:
            fs, path = fsspec.core.url_to_fs(source)
            matches = [fs.unstrip_protocol(match) for match in sorted(fs.glob(path))]
        except Exception as error:  # each file system raises errors of its own
            raise UsageError(_cannot_be_opened(source, error)) from error
    else:
        matches = sorted(glob.glob(source, recursive=True))
    archives = [match for match in matches if match.lower().endswith(ARCHIVE_SUFFIXES)]
    return [*archives, source] if len(archives) < len(matches) or not matches else archives


def is_url(source: str) -> bool:
    """Whether fsspec has to open it."""
    return "://" in source


def open_source(source: str) -> IO[bytes]:
    """A binary file at a path or URL. Raises OSError, or ImportError where the protocol's package is missing."""
    if not is_url(source):
        return open(source, "rb", buffering=2**18)
    file: IO[bytes] = fsspec.open(source, "rb").open()
    return file


def _content(path: str) -> bytes | ImageError:
    try:
        with open_source(path) as file:
            content = file.read(MAX_BYTES + 1)
    except Exception as error:  # each file system of fsspec raises errors of its own
        return ImageError(_cannot_be_opened(path, error))
    return content


def _cannot_be_opened(path: str, error: Exception) -> str:
    return f"{path}: cannot be opened ({_reason(error)}); check the path and your rights"


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _of_paths(source: str, found: Iterable[tuple[str, int]], most: int) -> list[Unit]:
    """Units of files, from paths with their sizes in bytes."""
    return [Files.of(source, start, paths) for start, paths, _ in _slices(found, most)]


def _found(source: str) -> Iterator[tuple[str, int]]:
    """The pictures that a path, folder or pattern names, and the sizes of their files."""
    if is_url(source):
        fs, path = fsspec.core.url_to_fs(source)
        found = fs.glob(path, detail=True) if glob.has_magic(path) else fs.find(path, detail=True)
        if not found:
            raise FileNotFoundError(2, "no such file or folder")
        for name, facts in sorted(found.items()):
            if facts["type"] == "file" and (_is_picture(name) or name == path):
                yield fs.unstrip_protocol(name), facts.get("size") or UNKNOWN_BYTES
        return
    matches = [source] if os.path.exists(source) else sorted(glob.glob(source, recursive=True))
    if not matches:
        raise FileNotFoundError(2, "no such file or folder")
    for match in matches:
        if not os.path.isdir(match):
            if match == source or _is_picture(match):
                yield match, os.path.getsize(match)
            continue
        for folder, inner, names in os.walk(match, onerror=_raise):
            inner.sort()
            for name in sorted(filter(_is_picture, names)):
                path = os.path.join(folder, name)
                yield path, os.path.getsize(path) if os.path.exists(path) else 0


def _raise(error: OSError) -> None:
    raise error


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _listed(source: str, column: str | None) -> Iterator[str]:
    """The paths and URLs of a .txt or .csv file. Paths are relative to its folder."""
    with fsspec.open(source, "rt", encoding="utf-8-sig", newline="") as file:
        try:
            if source.lower().endswith(".txt"):
                paths: Iterable[str] = (line.strip() for line in file)
            else:
                rows = csv.DictReader(file, skipinitialspace=True)
                name = _column(source, list(rows.fieldnames or ()), column, PATH_COLUMNS)
                paths = ((row[name] or "").strip() for row in rows)
            yield from (_beside(source, path) for path in paths if path)
        except UnicodeDecodeError as error:
            raise UsageError(f"{source}: not UTF-8 text ({error}); save it as UTF-8") from error
        except csv.Error as error:
            raise UsageError(f"{source}: not a table of comma-separated values ({error}); save it again") from error


def _beside(source: str, path: str) -> str:
    if is_url(path) or os.path.isabs(path):
        return path
    return f"{source.rpartition('/')[0]}/{path}" if is_url(source) else os.path.join(os.path.dirname(source), path)


def _sized(paths: Iterable[str]) -> Iterator[tuple[str, int]]:
    for path in paths:
        known = not is_url(path) and os.path.exists(path)
        yield path, os.path.getsize(path) if known else UNKNOWN_BYTES


def _column(source: str, columns: list[str], wanted: str | None, usual: Iterable[str]) -> str:
    """The wanted column; without a wish the only one or a usual one."""
    if wanted in columns:
        return str(wanted)
    if wanted is None:
        if len(columns) == 1:
            return columns[0]
        for name in usual:
            if name in columns:
                return name
    found = f"no column {wanted!r}" if wanted else f"no column {' or '.join(map(repr, usual))}"
    raise UsageError(f"{source}: {found} among {', '.join(columns) or 'none'}; name one with --column")


def _of_table(source: str, most: int, column: str | None) -> Iterator[Unit]:
    """Units of a Parquet file with a column of pictures, or with a column of paths or URLs."""
    with open_source(source) as file:
        try:
            table = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            yield Unreadable(source, 0, 1, f"{source}: no Parquet, or cut off ({error}); get it again")
            return
        fields = {field.name: field.type for field in table.schema_arrow}
        pictures = [name for name, kind in fields.items() if _holds_pictures(kind)]
        texts = [name for name, kind in fields.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
        usual = BYTES_COLUMNS if pictures else PATH_COLUMNS
        name = _column(source, [*pictures, *texts] if column else pictures or texts, column, usual)
        if name in texts:
            batches = table.iter_batches(4096, columns=[name])
            paths = (_beside(source, path) for batch in batches for path in batch.column(0).to_pylist() if path)
            yield from _of_paths(source, _sized(paths), most)
            return
        first = 0
        place = table.schema_arrow.names.index(name)
        for group in range(table.num_row_groups):
            facts = table.metadata.row_group(group)
            size = sum(
                facts.column(index).total_uncompressed_size
                for index in range(facts.num_columns)
                if facts.column(index).path_in_schema.split(".")[0] == table.schema_arrow.names[place]
            )
            fitting = max(1, min(most, facts.num_rows * MOST_BYTES // max(1, size)))
            step = max(fitting, -(-facts.num_rows // TABLE_SLICES))
            for start in range(first, first + facts.num_rows, step):
                stop = min(start + step, first + facts.num_rows)
                yield TableRows(source, start, stop, group, first, name)
            first += facts.num_rows


def _holds_pictures(kind: pa.DataType) -> bool:
    """Whether a column's type is bytes, or a structure with bytes in it, as in data sets of Hugging Face."""
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _of_zip(source: str, most: int) -> Iterator[Unit]:
    with open_source(source) as file:
        try:
            members = [member for member in zipfile.ZipFile(file).infolist() if not member.is_dir()]
        except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
            yield Unreadable(source, 0, 1, f"{source}: no zip, or cut off ({error}); get the archive again")
            return
    for start, slice_, size in _slices(((member, member.compress_size) for member in members), most):
        yield ZipMembers(source, start, start + len(slice_), size)


def _slices(found: Iterable[tuple[Thing, int]], most: int) -> Iterator[tuple[int, list[Thing], int]]:
    """Slices of things whose sizes in bytes are given: the number of the first, the things, and their bytes together.

    A slice has at most `most` things and, unless it is a single one, at most `MOST_BYTES`.
    """
    things: list[Thing] = []
    start = total = 0
    for thing, size in found:
        if len(things) == most or (things and total + size > MOST_BYTES):
            yield start, things, total
            start, things, total = start + len(things), [], 0
        things.append(thing)
        total += size
    if things:
        yield start, things, total


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> bytes | ImageError:
    if member.file_size > MAX_BYTES:
        return ImageError(f"{source}: {member.filename} unpacks to more than {MAX_BYTES // 2**20} MiB; reduce it first")
    try:
        with archive.open(member) as file:
            return file.read(MAX_BYTES + 1)
    # RuntimeError: it needs a password. NotImplementedError: an unknown compression.
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, OSError, EOFError, ValueError) as error:
        return ImageError(f"{source}: {member.filename} cannot be unpacked ({error}); get the archive again")


def _of_tar(source: str, most: int) -> Iterator[Unit]:
    with open_source(source) as file:
        members = ((member, member.size) for member in tar_members(file, source))
        for start, slice_, size in _slices(members, most):
            yield TarMembers(source, start, start + len(slice_), slice_[0].header, size)


def name_of(item: Item) -> str:
    """What messages call a picture."""
    if item.member is not None:
        return f"{item.file}/{item.member}"
    return item.file if item.place is None else f"{item.file}, row {item.place}"
