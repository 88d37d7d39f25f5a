"""Corrections: pictures that a user labelled, kept in a folder that `digitnet test --data` reads."""

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
from digitnet.imaging.encoding import png
from digitnet.imaging.load import FORMATS, decoding, is_deep, load
from digitnet.results import Box

TABLE = "labels.csv"
SEEN = "seen"  # the folder with the normalised 28x28 pictures
MARGIN = 0.25  # of the longer side of a box; the picture keeps this much around the box


class Corrections:
    """A folder of corrections; may be shared between threads.

    Each correction is a picture, its normalised 28x28 picture in the folder `seen`, its label and the time.

    Raises UsageError if the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
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

        Raises SaveError if it cannot be written and BusyError if another process is writing there. Nothing is kept
        in both cases.
        """
        now = datetime.now(UTC)
        # The name is made here and never from the request, so it cannot lead out of the folder.
        name = f"{now:%Y%m%dT%H%M%S}-{label}-{secrets.token_hex(4)}.png"
        row = {"file": name, "label": str(label), "seen": f"{SEEN}/{name}", "time": now.isoformat(timespec="seconds")}
        table = self._folder / TABLE
        with self._lock, files.locked(table):
            try:
                files.write_atomically(self._folder / name, picture)
                files.write_atomically(self._folder / SEEN / name, png(normalised))
                files.write_atomically(table, _with_row(table, row))
            except SaveError:
                for folder in (self._folder, self._folder / SEEN):
                    (folder / name).unlink(missing_ok=True)
                raise
        return name


def _with_row(table: Path, row: dict[str, str]) -> bytes:
    """The content of the table with one more row; columns that a user added stay."""
    rows: list[dict[str, str]] = []
    columns = list(row)
    if table.exists():
        try:
            with open(table, newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
                reader = csv.DictReader(file)
                rows = list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SaveError(f"{table}: cannot be read ({error}); move it away") from error
        there = list(reader.fieldnames or ())
        if not {"file", "label"} <= set(there) or any(None in row for row in rows):
            raise SaveError(f"{table}: needs the columns file and label, separated by commas; move it away")
        columns = [*there, *(name for name in row if name not in there)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, row])
    return text.getvalue().encode()


def crop(content: bytes, box: Box | None, name: str) -> bytes:
    """The picture in a file's bytes as an upright PNG without metadata; with a box, only that part and a margin.

    Raises ImageError, with the name, if the picture cannot be read; UsageError if the box is outside of the picture.
    """
    with decoding(name), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        upright = ImageOps.exif_transpose(image)
        if box is not None:
            if not (box.width and box.height and box.x < upright.width and box.y < upright.height):
                raise UsageError(f"the box {box.x},{box.y},{box.width},{box.height} is not in the picture")
            margin = round(MARGIN * max(box.width, box.height))
            left, top = max(0, box.x - margin), max(0, box.y - margin)
            right, bottom = box.x + box.width + margin, box.y + box.height + margin
            upright = upright.crop((left, top, min(upright.width, right), min(upright.height, bottom)))
        if is_deep(upright):  # many programs cannot show a deep PNG
            return png(load(upright, name, side=max(upright.size)).grey)
        if upright.mode not in ("1", "L", "LA", "RGB", "RGBA", "P"):
            upright = upright.convert("RGB")
        file = io.BytesIO()
        upright.save(file, "PNG", exif=b"")
        return file.getvalue()
