"""Corrections: pictures that a user labelled, kept in a folder in the form that `digitnet test --data` reads."""

import csv
import io
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from digitnet import files
from digitnet.errors import SaveError, UsageError
from digitnet.imaging.load import FORMATS, decoding, is_deep, load
from digitnet.results import Box

TABLE = "labels.csv"
COLUMNS = ("file", "label", "seen", "time")
SEEN = "seen"  # the folder of the 28x28 pictures
MARGIN = 0.25  # of a box's longer side; so much around it is kept as well


class Corrections:
    """A folder of corrections; may be shared between threads.

    Each is a picture, what DigitNet saw of it (28x28, in the folder `seen`), its label and the time.

    Raises UsageError where the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        try:
            (folder / SEEN).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be made ({error.strerror}); name a folder that can be written"
            ) from error

    def keep(self, picture: bytes, seen: npt.NDArray[np.float32], label: int) -> str:
        """Keeps a PNG file's bytes with what DigitNet saw of it, (28, 28) in [0, 1]; gives the name of its file.

        Raises SaveError where it cannot be written, BusyError where another process is writing there; nothing is
        kept then.
        """
        now = datetime.now(UTC)
        # The name is made here and never from what was sent, so it cannot lead out of the folder.
        name = f"{now:%Y%m%dT%H%M%S}-{label}-{secrets.token_hex(4)}.png"
        paths = (self._folder / name, self._folder / SEEN / name)
        table = self._folder / TABLE
        with self._lock, files.locked(table):
            try:
                files.write_atomically(paths[0], picture)
                files.write_atomically(paths[1], png(seen))
                row = (name, str(label), f"{SEEN}/{name}", now.isoformat(timespec="seconds"))
                files.write_atomically(table, _with(table, dict(zip(COLUMNS, row, strict=True))))
            except SaveError:
                for path in paths:
                    path.unlink(missing_ok=True)
                raise
        return name


def _with(table: Path, row: dict[str, str]) -> bytes:
    """The table's content with one more row; columns that a user added stay."""
    rows: list[dict[str, str]] = []
    columns = list(COLUMNS)
    if table.exists():
        try:
            with open(table, newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark at its beginning
                reader = csv.DictReader(file)
                rows = list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SaveError(f"{table}: cannot be read ({error}); move it away") from error
        if not {"file", "label"} <= set(reader.fieldnames or ()) or any(None in row for row in rows):
            raise SaveError(f"{table}: not the columns file and label, with commas between them; move it away")
        columns = [*(reader.fieldnames or ()), *(name for name in COLUMNS if name not in (reader.fieldnames or ()))]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, row])
    return text.getvalue().encode()


def part(content: bytes, box: Box | None, name: str) -> bytes:
    """The picture in a file's bytes as an upright PNG; of a box in it, only that part, with a margin.

    Raises ImageError, calling it `name`, where it is no picture that can be read; UsageError for a box outside of it.
    """
    with decoding(name), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        upright = ImageOps.exif_transpose(image)
        if box is not None:
            if not (box.width and box.height and box.x < upright.width and box.y < upright.height):
                raise UsageError(f"the box {box.x},{box.y},{box.width},{box.height} is not in the picture")
            margin = round(MARGIN * max(box.width, box.height))
            right, bottom = box.x + box.width + margin, box.y + box.height + margin
            upright = upright.crop(
                (
                    max(0, box.x - margin),
                    max(0, box.y - margin),
                    min(upright.width, right),
                    min(upright.height, bottom),
                )
            )
        if is_deep(upright):  # which a PNG does not show everywhere
            return png(load(upright, name, side=max(upright.size)).grey)
        if upright.mode not in ("1", "L", "LA", "RGB", "RGBA", "P"):
            upright = upright.convert("RGB")
        return _png(upright)


def png(image: npt.NDArray[np.float32]) -> bytes:
    """A grey PNG of an image (H, W) in [0, 1]."""
    return _png(Image.fromarray((image * 255).round().astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", exif=b"")
    return content.getvalue()
