"""Reads mutated pictures: how long the slowest takes, how much memory they need, and whether any is more than refused.

Damaged bytes, and files made to keep a decoder busy: stray bytes between segments, endless segments, comments, tags and
strips. Each picture is read by `Reader.predict`, in a process of its own for each thousand, so that a crash is counted.

    python benchmarks/mutations.py --count 100000
"""

import argparse
import io
import multiprocessing
import random
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import record
from PIL import Image

from digitnet import Reader
from digitnet.errors import ImageError

CHUNK = 1000  # pictures a process
ENDLESS = 0.02  # of the pictures have up to a million pieces; the others up to 100
JPEG_SEGMENTS: tuple[bytes, ...] = (
    b"\xff\xe0\0\2",
    b"\xff\xec\0\2",
    b"\xff\xfe\0\3a",
    b"\xff\xd0",
    b"\xff",
    b"\xff\xe1\0\x08Exif\0\0",
)
GIF_BLOCKS = (b"\x21\xfe\1a\0", b"\x21\xfe\0", b"\x21\xff\1a\0", b"\x21\xf9\4\0\0\0\0\0")
PNG_CHUNKS = (b"\0\0\0\0teXt\0\0\0\0", b"\0\0\0\0IDAT\x35\xaf\x06\x1e")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="pictures")
    arguments = parser.parse_args()
    results: list[tuple[float, float, int, str]] = []
    crashes = 0
    for first in range(0, arguments.count, CHUNK):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            try:
                results.append(pool.submit(read_many, first, min(first + CHUNK, arguments.count)).result())
            except BrokenProcessPool:
                crashes += 1
    slowest = max(results)
    record.write(
        "mutations",
        {
            "pictures": arguments.count,
            "longest_cpu_seconds": slowest[0],
            "longest_is": slowest[3],
            "megabytes_over_idle": max(result[1] for result in results),
            "crashes": crashes + sum(result[2] for result in results),
        },
    )


def read_many(first: int, stop: int) -> tuple[float, float, int, str]:
    """The most CPU seconds of a picture, the most MB that reading one adds, exceptions, and what took longest."""
    reader = Reader(threads=1)
    seeds = {kind: encoded(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")}
    for content in seeds.values():
        reader.predict(content)
    longest, most, slowest, crashes = 0.0, 0.0, "", 0
    for number in range(first, stop):
        rng = random.Random(number)
        kind = rng.choice([*seeds, "BigTIFF"])
        content = bytes(damaged(rng, lengthened(rng, kind, seeds.get(kind, b""))))
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before = megabytes("VmRSS")
        started = time.process_time()
        try:
            reader.predict(content)
        except ImageError:
            pass
        except Exception as error:
            print(f"{number} ({kind}): {type(error).__name__}: {error}", flush=True)
            crashes += 1
        seconds = time.process_time() - started
        most = max(most, megabytes("VmHWM") - before)
        if seconds > longest:
            longest, slowest = seconds, f"{number} ({kind}, {len(content):,} bytes)"
    return longest, most, crashes, slowest


def megabytes(kind: str) -> float:
    """The memory of this process (Linux): VmRSS is what it has now, VmHWM its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1024


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.open(record.ROOT / "samples" / "marker-2.jpg").convert("RGB").resize((48, 40)).save(buffer, kind, **options)
    return buffer.getvalue()


def lengthened(rng: random.Random, kind: str, content: bytes) -> bytes:
    """The file with many segments between the first ones, perhaps with stray bytes before the first or before each."""
    count = rng.choice((0, 1, rng.randrange(100))) if rng.random() > ENDLESS else 10 ** rng.randint(4, 6)
    stray = rng.choice((b"", b"\0", rng.randbytes(rng.randrange(9))))
    if kind == "BigTIFF":
        return big_tiff(rng, count)
    if kind == "JPEG":
        place = 2 + rng.choice((0, 2 + int.from_bytes(content[4:6])))
        pieces: Sequence[bytes] = JPEG_SEGMENTS
    elif kind == "GIF":
        place, pieces = 13 + 3 * 2 ** ((content[10] & 7) + 1), GIF_BLOCKS
    elif kind == "PNG":
        place, pieces = 33, PNG_CHUNKS
    else:
        return content
    piece = rng.choice(pieces)
    many = (stray + piece) * count if rng.random() < 0.5 else stray + piece * count
    return content[:place] + many + content[place:]


def big_tiff(rng: random.Random, count: int) -> bytes:
    """A BigTIFF with many tags, or with many values in one of them."""
    pixels = b"\x80" * (48 * 40)
    odd = rng.choice((273, 279, 282, 330, 34665, 50000))
    kind, tags = rng.choice((1, 3, 4, 5, 12, 16)), 1
    if rng.random() < 0.5:
        count, tags = 1, count
    begin = 16 + 8 + 20 * (5 + tags) + 8
    facts = [(256, 4, 1, 48), (257, 4, 1, 40), (258, 3, 1, 8), (262, 3, 1, 1), (273, 16, 1, begin)]
    known = b"".join(struct.pack("<HHQQ", *fact) for fact in facts)
    many = b"".join(struct.pack("<HHQQ", odd + number % 9999, kind, count, begin) for number in range(tags))
    directory = struct.pack("<Q", 5 + tags) + known + many + bytes(8)
    return b"II\x2b\0\x08\0\0\0" + struct.pack("<Q", 16) + directory + pixels + b"\x10\0\0\0" * count * 2


def damaged(rng: random.Random, content: bytes) -> bytearray:
    """The file with a few bytes changed, inserted or left out, or as it is."""
    changed = bytearray(content)
    for _ in range(rng.choice((0, 1, 2, 8))):
        place = rng.randrange(min(len(changed), 2000) or 1)
        kind = rng.randrange(4)
        if kind == 0:
            changed[place : place + 1] = rng.randbytes(1)
        elif kind == 1:
            changed[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        elif kind == 2:
            changed[place:place] = rng.randbytes(rng.randrange(1, 12))
        else:
            del changed[place : place + rng.randrange(1, 40)]
    return changed


if __name__ == "__main__":
    main()
