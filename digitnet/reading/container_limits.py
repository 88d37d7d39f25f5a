"""Limits on the work that a small file can cause before its pixels are decoded.

Decoders spend time and memory on each segment of a file, on each value of its tags and on each scan. So a small file of
millions of them would keep a decoder busy for minutes. Files from cameras and programs stay far below these limits.
"""

import io
import re
from collections.abc import Iterator
from typing import Literal

from PIL import Image

from digitnet.errors import ImageError
from digitnet.reading.work import IsCancelled, raise_if

MAX_READS = 250_000  # Pillow reads about four times for a segment, and a PNG of 200 MB has about 50,000
MAX_SCANS, USUAL_SCANS = 1000, 20  # of a progressive JPEG; encoders write about ten
MAX_SCANNED_PIXELS = 10**9  # pixels times scans, of a JPEG with more than the usual ones: each scan visits all pixels
MAX_EXIF_SEGMENTS = 100  # of a JPEG; Pillow joins them one by one
MAX_EXIF_BYTES = 2**20  # a camera's fits into 64 KiB
MAX_TIFF_VALUES = 100_000  # of its tags: nearly all are the places of strips, at most one or two for each row
MAX_RUN_LENGTH_PIXELS = 4_000_000  # of a BMP; Pillow decodes run lengths in Python

PNG, JPEG, TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"II", b"MM")
SCAN = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e][\1-\4]")  # ITU T.81, B.2.3: marker, length, number of components
EXIF_SEGMENT = re.compile(rb"\xff\xe1..Exif\0\0", re.DOTALL)
EXIF_NAMES = ("exif", "Raw profile type exif")  # in `Image.info`
RUN_LENGTHS = (1, 2)  # compressions of a BMP
# Of a TIFF's tags (TIFF 6.0, section 2; BigTIFF): bytes of a value by its type, and the tags that hold the place of
# another directory (EXIF, GPS, interoperability). Pillow keeps bytes and text as they are, and unpacks the others.
VALUE_BYTES = {3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
DIRECTORY_TAGS = (34665, 34853, 40965)


def opened(content: bytes, name: str, formats: tuple[str, ...], is_cancelled: IsCancelled | None = None) -> Image.Image:
    """The picture in a file, opened by Pillow, and not decoded yet.

    It is not checked here that the file is complete; the decoder does that.

    Args:
        is_cancelled: asked whenever Pillow goes on reading the file, also while it decodes. So a decoder can be
            stopped, but for what it does with one block of the file.

    Raises ImageError, which calls the picture `name`, if the file is beyond the limits, and CancelledError where
    `is_cancelled` says True. Both hold for what Pillow reads later, too.
    """
    scans = 0
    if content.startswith(JPEG):
        scans = _count(SCAN, content)
        _check(scans, MAX_SCANS, "scans", name)
        _check(_count(EXIF_SEGMENT, content), MAX_EXIF_SEGMENTS, "EXIF segments", name)
    elif content.startswith(TIFF):
        total = 0
        for values in _tiff_values(content):
            total += values
            _check(total, MAX_TIFF_VALUES, "values in the tags", name)
    image = Image.open(_File(content, name, is_cancelled), formats=list(formats))
    pixels = image.width * image.height
    if scans > USUAL_SCANS:
        _check(scans * pixels, MAX_SCANNED_PIXELS, "pixels in all scans", name)
    _check(max(len(image.info.get(key, "")) for key in EXIF_NAMES), MAX_EXIF_BYTES, "bytes of EXIF", name)
    if image.format == "BMP" and image.info.get("compression") in RUN_LENGTHS:
        _check(pixels, MAX_RUN_LENGTH_PIXELS, "pixels as run lengths", name)
    return image


def _count(pattern: re.Pattern[bytes], content: bytes) -> int:
    return sum(1 for _ in pattern.finditer(content))


def _check(found: int, most: int, what: str, name: str) -> None:
    if found > most:
        raise ImageError(f"{name}: more than {most:,} {what} in its file; save it again")


class _File(io.BytesIO):
    """A file in memory that can be read a limited number of times, until the work is cancelled.

    Pillow's code in Python reads at least once for each segment, block, tag, run, and byte between segments. So this
    limit holds for each format and for each way in which a damaged file is read.
    """

    def __init__(self, content: bytes, name: str, is_cancelled: IsCancelled | None) -> None:
        super().__init__(content)
        self._name = name
        self._is_cancelled = is_cancelled
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise ImageError(f"{self._name}: its file is in more than {MAX_READS:,} pieces; save it again")
        raise_if(self._is_cancelled)
        return super().read(size)


def _tiff_values(content: bytes) -> Iterator[int]:
    """For each tag that Pillow reads, 1 and the number of the values that it unpacks."""
    order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"

    def number(place: int, size: int) -> int:
        return int.from_bytes(content[place : place + size], order)

    width = 8 if content[2:3] == b"+" else 4  # bytes of a place and of a count, in a BigTIFF or a usual one
    tag_bytes = 4 + 2 * width
    waiting = [number(width, width)]
    seen: set[int] = set()
    while waiting:
        directory = waiting.pop()
        if directory in seen:
            continue
        seen.add(directory)
        begin = directory + (8 if width == 8 else 2)
        end = min(begin + tag_bytes * number(directory, begin - directory), len(content))
        for place in range(begin, end, tag_bytes):
            tag, kind, count = number(place, 2), number(place + 2, 2), number(place + 4, width)
            size = VALUE_BYTES.get(kind, 0)
            yield 1 + (count if size and count * size <= len(content) else 0)  # Pillow skips what cannot be there
            if tag in DIRECTORY_TAGS and size:
                inside = place + 4 + width
                waiting.append(number(inside if count * size <= width else number(inside, width), size))
