r"""Seconds for patterns that need 2^n states when read from the wrong end: python benchmarks/patterns.py [--repeats N]

Pages of 24 digits in a line, and of five such lines, are read with the patterns below for n = 5, 10, 20 and 40, alone
and together with a length or a check digit. Each is answered or refused. Then a server answers them while another
client asks for a small page again and again; the slowest of its requests is the one beside them.
"""

import argparse
import io
import json
import statistics
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import record
from page_size import full_page
from PIL import Image
from serve_load import served

from digitnet import Reader
from digitnet.errors import UsageError

TIMES = (5, 10, 20, 40)
PATTERNS = {
    "choice behind n digits": r"\d{n}[0-4]\d*",
    "choice before n digits": r"\d*[0-4]\d{n}",
    "choices on both sides of n digits": r"\d*[0-4]\d{n}[5-9]\d*",
    "up to n digits on both sides": r"\d{0,n}[0-4]\d{0,n}",
}
KNOWN: tuple[dict[str, Any], ...] = (
    {},
    {"length": 24},
    {"check": "luhn"},
    {"check": "mod97", "length": 24},
    {"lines": 1},
)
LENGTH, LINES = 24, 5
CELL, SPACE = 20, 20  # pixels of a digit, and between lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="readings of each page with each pattern")
    options = parser.parse_args()
    figures: dict[str, Any] = {"command": "python benchmarks/patterns.py", "digits_in_a_line": LENGTH}
    reader = Reader()
    for name, lines in (("one line", 1), ("five lines", LINES)):
        page = page_of(lines)
        reader.read(page)
        figures[name] = {
            "without_a_pattern": record.spread([seconds(reader, page)[0] for _ in range(options.repeats)]),
            "with_patterns": [asked(reader, page, known, options.repeats) for known in all_known()],
        }
        figures[name]["slowest_seconds"] = max(row["seconds"] for row in figures[name]["with_patterns"])
    with served() as (port, _):
        figures["server"] = beside(port)
    record.write("patterns", figures)


def all_known() -> Iterator[dict[str, Any]]:
    for pattern in PATTERNS.values():
        for times in TIMES:
            for known in KNOWN:
                yield {"pattern": pattern.replace("n", str(times)), **known}


def asked(reader: Reader, page: np.ndarray[Any, Any], known: dict[str, Any], repeats: int) -> dict[str, Any]:
    measured = [seconds(reader, page, **known) for _ in range(repeats)]
    return {**known, "seconds": statistics.median(time for time, _ in measured), "answer": measured[0][1]}


def seconds(reader: Reader, page: np.ndarray[Any, Any], **known: Any) -> tuple[float, str]:
    """How long it took, and whether it was answered or refused."""
    begun = time.perf_counter()
    try:
        reader.read(page, **known)
        answer = "answered"
    except UsageError:
        answer = "refused"
    return time.perf_counter() - begun, answer


def beside(port: int) -> dict[str, Any]:
    """Seconds of the requests with patterns, and of the requests beside them."""
    small, large = (png(page_of(lines)) for lines in (1, LINES))
    request(port, small)
    alone = [request(port, small) for _ in range(20)]
    is_done = threading.Event()
    others: list[tuple[float, int]] = []

    def ask_again_and_again() -> None:
        while not is_done.is_set():
            others.append(request(port, small))

    client = threading.Thread(target=ask_again_and_again)
    client.start()
    patterns = [request(port, large, **known) for known in all_known()]
    is_done.set()
    client.join()
    return {
        name: {"statuses": sorted({status for _, status in told}), **record.spread([time for time, _ in told])}
        for name, told in (("alone", alone), ("patterns", patterns), ("beside", others))
    }


def request(port: int, body: bytes, **known: Any) -> tuple[float, int]:
    """Seconds and HTTP status."""
    address = f"http://127.0.0.1:{port}/v1/read?{urllib.parse.urlencode(known)}"
    begun = time.perf_counter()
    try:
        asking = urllib.request.Request(address, body, {"Content-Type": "image/png"})
        with urllib.request.urlopen(asking, timeout=60) as answer:
            json.load(answer)
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return time.perf_counter() - begun, status


def page_of(lines: int) -> np.ndarray[Any, Any]:
    """A page with `LENGTH` digits in each line."""
    digits = full_page(64 * lines)[:, : CELL * LENGTH].reshape(lines, CELL, -1)
    page = np.full((lines, CELL + SPACE, digits.shape[2] + 2 * SPACE), 255, np.uint8)
    page[:, SPACE:, SPACE:-SPACE] = digits
    return np.pad(page.reshape(-1, page.shape[2]), ((0, SPACE), (0, 0)), constant_values=255)


def png(page: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(page).save(content, "PNG")
    return content.getvalue()


if __name__ == "__main__":
    main()
