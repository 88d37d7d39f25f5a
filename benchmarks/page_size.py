"""Seconds and memory of `Reader.read` for pages of 500 to 4,000 digits: python benchmarks/page_size.py [--repeats N]

The pages are full of MNIST test digits, each in a cell of 20x20 pixels, 64 in a row of 1,280 pixels. Each size is read
in a process of its own, so that its peak memory can be told; the first reading, of a small page, loads the networks.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record

from digitnet import Reader

COUNTS = (500, 1000, 2000, 4000)
CELL, COLUMNS = 20, 64  # pixels; digits in a row
DIGITS = Path(__file__).resolve().parents[1] / "digitnet" / "weights" / "digits.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="readings of each page")
    parser.add_argument("--count", type=int, help="measure one page in this process, and print it as JSON")
    options = parser.parse_args()
    if options.count:
        print(json.dumps(measured(options.count, options.repeats)))
        return
    pages = {}
    for count in COUNTS:
        command = [sys.executable, __file__, "--count", str(count), "--repeats", str(options.repeats)]
        pages[str(count)] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    record.write("page_size", {"command": "python benchmarks/page_size.py", "digits": pages})


def measured(count: int, repeats: int) -> dict[str, Any]:
    reader, page = Reader(), full_page(count)
    reader.read(full_page(COLUMNS))
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        found = reader.read(page)
        seconds.append(time.perf_counter() - begun)
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "pixels": list(page.shape[::-1]),
        "digits_read": len(found.digits),
        "lines_read": len(found.lines),
        "seconds": record.spread(seconds),
        "milliseconds_per_digit": 1000 * statistics.median(seconds) / count,
        "peak_memory_mb": peak / 1e6,
    }


def full_page(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A page (H, 1280) in dark ink on white, full of digits."""
    with np.load(DIGITS) as file:
        images = file["images"]
    rng = np.random.default_rng(0)
    ink = np.zeros((-(-count // COLUMNS) * CELL, COLUMNS * CELL), np.uint8)
    for number in range(count):
        top, left = CELL * (number // COLUMNS), CELL * (number % COLUMNS)
        digit = cv2.resize(images[rng.integers(len(images))], (CELL, CELL), interpolation=cv2.INTER_AREA)
        ink[top : top + CELL, left : left + CELL] = digit
    return 255 - ink


if __name__ == "__main__":
    main()
