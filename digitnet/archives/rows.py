"""Pictures to rows: the schema of the output, and the function that every engine calls.

`predict` gives a row a picture, `read` a row a line of digits. A picture without lines or with an error has one row.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from digitnet.archives.sources import Item, name_of
from digitnet.errors import ImageError, UsageError
from digitnet.reader import Reader
from digitnet.reading.answer import DEFAULT_MAX_ERROR
from digitnet.results import Digit, Line

Row = dict[str, Any]

TASKS = ("predict", "read")
BOX = pa.struct([(name, pa.int32()) for name in ("x", "y", "width", "height")])
PLACE = [("file", pa.string()), ("member", pa.string()), ("index", pa.int64())]
DIGIT = [
    ("digit", pa.int8()),
    ("confidence", pa.float32()),
    ("reason", pa.string()),
    ("best_guess", pa.int8()),
    ("probabilities", pa.list_(pa.float32())),
    ("box", BOX),
]
LINE = [
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("page_note", pa.string()),
    ("line", pa.int32()),
    ("text", pa.string()),
    ("confidence", pa.float32()),
    ("box", BOX),
    ("note", pa.string()),
    ("digits", pa.list_(pa.struct(DIGIT))),
]
ERROR = [("error", pa.string())]
SCHEMAS = {"predict": pa.schema(PLACE + DIGIT + ERROR), "read": pa.schema(PLACE + LINE + ERROR)}


@dataclass(frozen=True)
class Task:
    """What is done with each picture.

    Attributes:
        name: "predict" (one digit a picture) or "read" (lines of digits).
        constraints: of `Reader.read`, by name; for "read" only.
    """

    name: str
    constraints: Mapping[str, Any]

    @property
    def schema(self) -> pa.Schema:
        return SCHEMAS[self.name]

    def rows(self, reader: Reader, items: Sequence[Item]) -> pa.Table:
        """The rows of some pictures, in order."""
        rows = _predicted(reader, items) if self.name == "predict" else _read(reader, items, self.constraints)
        return pa.Table.from_pylist(list(rows), self.schema)


def task(name: str, constraints: Mapping[str, Any]) -> Task:
    """Raises UsageError for an unknown task, and for constraints where they mean nothing."""
    wanted = {key: value for key, value in constraints.items() if value is not None}
    if name not in TASKS:
        raise UsageError(f"the task {name!r} is unknown; choose {' or '.join(TASKS)}")
    if name == "predict" and wanted:
        raise UsageError(f"{', '.join(wanted)}: the task predict reads one digit and takes no constraints; use read")
    return Task(name, wanted)


def read_batch(
    pictures: pa.Table | pa.RecordBatch,
    task: str = "predict",
    *,
    model: str | os.PathLike[str] | None = None,
    max_error: float | None = DEFAULT_MAX_ERROR,
    **constraints: Any,
) -> pa.Table:
    """The rows of a batch of pictures: bytes in, answers out. For pipelines of Ray, Spark or Dask.

    Each process makes its reader at the first call and keeps it. It computes on one core, because such engines run a
    process on each core.

    Args:
        pictures: a column `bytes` with the pictures' files, and if you like `file`, `member` and `index`, which are
            handed on.
        task: "predict" or "read".
        model, max_error: as for `Reader`.
        constraints: as for `Reader.read`.

    A null has a row with an error.

    Raises UsageError where the column is missing or an argument makes no sense.
    """
    if "bytes" not in pictures.schema.names:
        raise UsageError(f"no column 'bytes' with pictures among {', '.join(pictures.schema.names)}; rename one")
    nothing = [None] * pictures.num_rows
    place = [
        pictures.column(name).to_pylist() if name in pictures.schema.names else nothing
        for name in ("file", "member", "index")
    ]
    contents = [
        content if isinstance(content, bytes) else ImageError(f"row {row}: holds no picture, but {content!r:.40}")
        for row, content in enumerate(pictures.column("bytes").to_pylist())
    ]
    items = [Item(*facts) for facts in zip(*place, contents, strict=True)]
    return _task(task, constraints).rows(_reader(None if model is None else os.fspath(model), max_error), items)


_task = task  # `read_batch` has an argument of this name


@functools.lru_cache(maxsize=1)
def _reader(model: str | None, max_error: float | None) -> Reader:
    return Reader(model, max_error=max_error, threads=1)


def _predicted(reader: Reader, items: Sequence[Item]) -> Iterator[Row]:
    names = [name_of(item) for item in items if isinstance(item.content, bytes)]
    seen = reader.examine_many([item.content for item in items if isinstance(item.content, bytes)], names)
    for item in items:
        one = item.content if isinstance(item.content, ImageError) else next(seen)
        yield _failed(item, one) if isinstance(one, ImageError) else {**_place(item), **_digit(one.digit)}


def _read(reader: Reader, items: Sequence[Item], constraints: Mapping[str, Any]) -> Iterator[Row]:
    for item in items:
        try:
            if isinstance(item.content, ImageError):
                raise item.content
            page = reader.read(item.content, name=name_of(item), **constraints)
        except ImageError as error:
            yield _failed(item, error)
            continue
        facts = {**_place(item), "width": page.width, "height": page.height, "page_note": page.note}
        yield from ({**facts, "line": number, **_line(line)} for number, line in enumerate(page.lines, 1))
        if not page.lines:
            yield facts


def _failed(item: Item, error: ImageError) -> Row:
    return {**_place(item), "error": _text(str(error))}


def _place(item: Item) -> Row:
    return {"file": _text(item.file), "member": _text(item.member), "index": item.place}


def _text(text: str | None) -> str | None:
    """The text without what UTF-8 cannot hold: names of files may be any bytes."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _line(line: Line) -> Row:
    return {
        "text": line.text,
        "confidence": line.confidence,
        "box": vars(line.box),
        "note": line.note,
        "digits": [_digit(digit) for digit in line.digits],
    }


def _digit(digit: Digit) -> Row:
    return {**vars(digit), "box": digit.box and vars(digit.box)}
