"""Folders of what the project makes: pages with their texts and boxes, and single digits with their labels."""

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np

from digitnet.errors import SaveError, UsageError
from digitnet.files import write_atomically
from digitnet.synthesis.pages import PageMaker
from digitnet.synthesis.strokes import digits_of

SMALLEST_PAGE, LARGEST_PAGE = 32, 4096  # pixels; each side
STREAM = 3  # of random numbers; training and validation have others
DARKEST, LIGHTEST = 0, 110  # of 255; the ink of single digits, on white paper


def write_pages(maker: PageMaker, folder: Path, pages: int, height: int, width: int, *, seed: int = 0) -> None:
    """Writes pages as pictures, their texts into labels.csv (file, text), and the box of each digit into pages.jsonl.

    A line of pages.jsonl is {"file": ..., "text": ..., "digits": [{"digit": 7, "line": 0, "box": [x, y, w, h]}, ...]},
    where "digit" is null if the border cuts the digit off.

    Raises:
        UsageError: see `check_request`.
        SaveError: a file cannot be written.
    """
    check_request(folder, pages, height, width, seed)
    table, boxes = io.StringIO(), []
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "text"))
    for number in range(pages):
        page = maker.page(np.random.default_rng([seed, number, STREAM]), height, width)
        name = f"page-{number:04}.png"
        _, picture = cv2.imencode(".png", page.picture)
        _write(folder / name, picture.tobytes())
        rows.writerow((name, page.text))
        digits = [
            {
                "digit": digit.label,
                "line": digit.line,
                "box": [digit.left, digit.top, digit.right - digit.left, digit.bottom - digit.top],
            }
            for digit in page.digits
        ]
        boxes.append(json.dumps({"file": name, "text": page.text, "digits": digits}) + "\n")
    _write(folder / "labels.csv", table.getvalue().encode())
    _write(folder / "pages.jsonl", "".join(boxes).encode())


def write_digits(folder: Path, digits: int, *, seed: int = 0) -> None:
    """Writes pictures of single digits, each with dark ink on white paper, and their labels into labels.csv.

    Its columns are file, label and kind. The kind names the variant that was written, such as "9 mirrored P".

    Raises:
        UsageError: no digits are asked for, a seed is below 0, or the folder is not empty.
        SaveError: a file cannot be written.
    """
    if digits < 1:
        raise UsageError(f"cannot make {digits} digits; ask for at least 1")
    _check_place(folder, seed)
    rng = np.random.default_rng([seed, STREAM])
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "label", "kind"))
    for number, digit in enumerate(digits_of(seed, digits)):
        paper = np.pad(digit.ink, round(rng.uniform(0.15, 0.4) * max(digit.ink.shape)))
        darkness = 255 - rng.uniform(DARKEST, LIGHTEST)
        _, picture = cv2.imencode(".png", np.rint(255 - darkness * paper).astype(np.uint8))
        name = f"digit-{number:05}.png"
        _write(folder / name, picture.tobytes())
        rows.writerow((name, digit.variant.label, digit.variant.kind))
    _write(folder / "labels.csv", table.getvalue().encode())


def check_request(folder: Path, pages: int, height: int, width: int, seed: int) -> None:
    """Raises UsageError for no pages, too small or too large pages, a seed below 0, or a folder that is not empty."""
    if pages < 1 or not SMALLEST_PAGE <= min(height, width) <= max(height, width) <= LARGEST_PAGE:
        raise UsageError(
            f"cannot make {pages} pages of {width}x{height} pixels; "
            f"ask for at least 1 page, with sides of {SMALLEST_PAGE} to {LARGEST_PAGE} pixels"
        )
    _check_place(folder, seed)


def _check_place(folder: Path, seed: int) -> None:
    if seed < 0:
        raise UsageError(f"cannot use a seed of {seed}; give 0 or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not empty, and its files could be overwritten; choose a new folder")


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{path.parent}: cannot be created ({error.strerror}); choose another folder") from error
    write_atomically(path, content)
