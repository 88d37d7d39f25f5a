"""All 100 two-digit numbers as one draws them in the page: two hands, two sizes, through `Reader.read`.

A hand is a list of strokes for each digit, drawn with a round pen on a white sheet. The digits are 0.16 x 0.6 and
0.2 x 0.4 of the sheet. The drawings look like those of the tests of the page; no network was trained on these hands.

    python benchmarks/drawn_numbers.py [--show FILE]
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import record

from digitnet import Reader
from digitnet.evaluation.page_metrics import only_digits

SHEET = (440, 645)  # pixels, as the page sends it
PEN = 16  # pixels
SIZES = ((0.16, 0.6), (0.2, 0.4))  # of a digit, in widths and heights of the sheet
GAP = 0.08  # between the two digits, in widths of the sheet
# The strokes of each digit from 0 to 9: points "x y" in hundredths of its width and height.
STRAIGHT = (
    "30 0, 0 25, 0 75, 30 100, 70 100, 100 75, 100 25, 70 0, 30 0",
    "50 0, 48 100",
    "0 20, 30 0, 80 2, 100 25, 0 100, 100 100",
    "0 10, 50 0, 95 20, 40 48, 100 75, 50 100, 0 90",
    "30 0, 0 60, 100 60 | 70 30, 68 100",
    "95 0, 10 0, 5 45, 70 42, 100 70, 60 100, 0 92",
    "80 0, 20 40, 0 75, 40 100, 95 80, 70 55, 5 70",
    "0 2, 100 0, 40 100",
    "90 15, 50 0, 10 18, 90 75, 50 100, 10 78, 90 15",
    "95 25, 50 0, 5 25, 45 50, 95 20, 80 100",
)
ROUND = (
    "50 0, 26 6, 8 23, 0 46, 5 71, 20 90, 43 99, 68 97, 88 83, 99 61, 98 36, 85 15, 64 2, 39 1",
    "15 25, 55 0, 55 100",
    "5 25, 20 5, 55 0, 90 12, 90 35, 60 65, 5 100, 50 96, 100 100",
    "10 10, 40 0, 80 8, 85 30, 45 47, 90 60, 95 85, 50 100, 5 90",
    "75 100, 75 0, 0 65, 100 65",
    "20 0, 12 42, 55 38, 95 62, 80 92, 40 100, 0 90 | 20 0, 95 0",
    "70 0, 30 25, 5 65, 20 95, 60 100, 95 80, 80 58, 40 55, 8 75",
    "0 5, 50 2, 100 0, 60 45, 40 100 | 25 50, 85 48",
    "50 48, 15 30, 25 5, 60 0, 85 20, 50 48, 8 75, 30 98, 75 95, 92 72, 50 48",
    "90 20, 55 0, 15 12, 10 40, 50 50, 88 30, 90 5, 88 60, 70 100",
)
HANDS = {"straight": STRAIGHT, "round": ROUND}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", type=Path, help="also write a picture with some of the drawings")
    arguments = parser.parse_args()
    reader, figures, shown = Reader(), {}, []
    for (hand, shapes), size in itertools.product(HANDS.items(), SIZES):
        right, whole, wrong = 0, 0, []
        for number in range(100):
            text = f"{number:02d}"
            drawing = drawn(text, shapes, size)
            page = reader.read(drawing)
            answer = only_digits(page.text)
            right += "".join(str(digit.best_guess) for digit in page.digits) == text
            whole += answer == text
            if "?" not in answer and answer != text:
                wrong.append(f"{text} as {answer or 'nothing'}")
            shown.append(drawing)
        figures[f"{hand}, {size[0]:g} x {size[1]:g}"] = {"n": 100, "right": right, "whole": whole, "wrong": wrong}
        print(hand, size, figures[f"{hand}, {size[0]:g} x {size[1]:g}"], flush=True)
    record.write("drawn_numbers", {"model": reader.about, "drawn": figures})
    if arguments.show:
        rows = [
            np.hstack([cv2.resize(one, (160, 110)) for one in shown[start : start + 8]]) for start in range(10, 400, 50)
        ]
        cv2.imwrite(str(arguments.show), np.vstack(rows))


def drawn(text: str, shapes: tuple[str, ...], size: tuple[float, float]) -> npt.NDArray[Any]:
    """A sheet (440, 645) in bytes with a number in its middle."""
    height, width = SHEET
    sheet = np.full(SHEET, 255, np.uint8)
    wide, tall = size[0] * width, size[1] * height
    left = (width - len(text) * wide - (len(text) - 1) * GAP * width) / 2
    for character in text:
        for stroke in shapes[int(character)].split(" | "):
            points = np.array([point.split() for point in stroke.split(", ")], float) / 100 * [wide, tall] + [
                left,
                (height - tall) / 2,
            ]
            cv2.polylines(sheet, [np.rint(points * 16).astype(np.int32)], False, 0, PEN, cv2.LINE_AA, 4)
        left += wide + GAP * width
    return sheet


if __name__ == "__main__":
    main()
