"""Of how many parts a picture's file is made: chunks, segments, blocks, scans.

Decoders take time and memory for each part, so a small file of millions of empty ones would keep them busy for minutes.
What cameras and programs write has far fewer than what is allowed here.
"""

from collections.abc import Iterator

from digitnet.errors import ImageError

MAX_SEGMENTS = 50_000  # a PNG of 200 MB has as many
MAX_SCANS = 1000  # of a progressive JPEG; encoders write about ten, and a video behind it has some by chance
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"GIF87a", b"GIF89a")
START_OF_SCAN, PLAIN_MARKERS = 0xDA, (0x00, 0x01, 0xFF, *range(0xD0, 0xDA))  # the latter without a length
EXTENSION, IMAGE = 0x21, 0x2C


def check_segments(content: bytes, name: str) -> None:
    """Raises ImageError, calling the picture `name`, for a file of more parts than any honest one has.

    Whether the file is whole is for its decoder to say.
    """
    if content.startswith(PNG):
        parts = _chunks(content)
    elif content.startswith(JPEG):
        # In a scan's data an 0xFF is followed by a 0, so these begin scans; elsewhere they may come by chance.
        if content.count(bytes((0xFF, START_OF_SCAN))) > MAX_SCANS:
            raise ImageError(f"{name}: more than {MAX_SCANS} scans; save it again")
        parts = _segments(content)
    elif content.startswith(GIF):
        parts = _blocks(content)
    else:
        return
    if any(count >= MAX_SEGMENTS for count, _ in enumerate(parts)):
        raise ImageError(f"{name}: more than {MAX_SEGMENTS:,} parts in its file; save it again")


def _chunks(content: bytes) -> Iterator[int]:
    """Where each chunk of a PNG begins (ISO 15948, 5.3): length, type, data, checksum."""
    place = len(PNG)
    while place + 8 <= len(content):
        yield place
        place += 12 + int.from_bytes(content[place : place + 4])


def _segments(content: bytes) -> Iterator[int]:
    """Where each segment before the first scan of a JPEG begins (ITU T.81, B.1.1), and each byte that fills a gap."""
    place = len(JPEG)
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != START_OF_SCAN:
        yield place
        plain = content[place + 1] in PLAIN_MARKERS
        place += 1 if plain else 2 + int.from_bytes(content[place + 2 : place + 4])


def _blocks(content: bytes) -> Iterator[int]:
    """Where each block before the first image of a GIF begins (GIF89a, 15): of an extension, and of its data."""
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
