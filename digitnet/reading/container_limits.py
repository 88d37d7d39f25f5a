"""Limits on the number of segments in a picture's file: chunks of a PNG, segments of a JPEG, blocks of a GIF.

Decoders spend time and memory on each segment, so a small file of millions of empty segments would keep them busy for
minutes. Files from cameras and programs have far fewer segments than these limits.
"""

from collections.abc import Iterator

from digitnet.errors import ImageError

MAX_SEGMENTS = 50_000  # a PNG of 200 MB has about this many
MAX_SCANS = 1000  # of a progressive JPEG; encoders write about ten, and a video stored after it adds some by chance
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"GIF87a", b"GIF89a")
START_OF_SCAN = 0xDA  # of a JPEG
PLAIN_MARKERS = (0x00, 0x01, 0xFF, *range(0xD0, 0xDA))  # of a JPEG; no length follows them
EXTENSION = 0x21  # of a GIF


def check_segments(content: bytes, name: str) -> None:
    """Raises ImageError, which calls the picture `name`, if the file has too many segments or scans.

    It does not check that the file is complete; the decoder does that.
    """
    if content.startswith(PNG):
        segments = _png_chunks(content)
    elif content.startswith(JPEG):
        # In the data of a scan, a 0 follows each 0xFF, so these two bytes begin a scan. Elsewhere they occur by chance.
        if content.count(bytes((0xFF, START_OF_SCAN))) > MAX_SCANS:
            raise ImageError(f"{name}: more than {MAX_SCANS} scans in its file; save it again")
        segments = _jpeg_segments(content)
    elif content.startswith(GIF):
        segments = _gif_blocks(content)
    else:
        return
    if any(count >= MAX_SEGMENTS for count, _ in enumerate(segments)):
        raise ImageError(f"{name}: more than {MAX_SEGMENTS:,} segments in its file; save it again")


def _png_chunks(content: bytes) -> Iterator[int]:
    """The position of each chunk of a PNG (ISO 15948, 5.3). A chunk is its length, type, data and checksum."""
    place = len(PNG)
    while place + 8 <= len(content):
        yield place
        place += 12 + int.from_bytes(content[place : place + 4])


def _jpeg_segments(content: bytes) -> Iterator[int]:
    """The position of each segment before the first scan of a JPEG (ITU T.81, B.1.1), and of each fill byte."""
    place = len(JPEG)
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != START_OF_SCAN:
        yield place
        plain = content[place + 1] in PLAIN_MARKERS
        place += 1 if plain else 2 + int.from_bytes(content[place + 2 : place + 4])


def _gif_blocks(content: bytes) -> Iterator[int]:
    """The position of each block before the first image of a GIF (GIF89a, 15): extensions, and the blocks of data."""
    if len(content) < 13:
        return
    place = 13 + (3 * 2 ** ((content[10] & 7) + 1) if content[10] & 0x80 else 0)
    while place + 2 < len(content) and content[place] == EXTENSION:
        yield place
        place += 2
        while place < len(content) and content[place]:
            yield place
            place += 1 + content[place]
        place += 1
