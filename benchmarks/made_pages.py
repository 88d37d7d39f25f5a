"""The contact sheet of the made pages, docs/made-pages.png: python benchmarks/made_pages.py [FILE]

It shows what the detector is trained on: whole pages, and numbers cut out tightly. With --boxes it draws the box of
each digit, in grey and without a label where a digit does not count because it is cut off.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from digitnet.synthesis.pages import MadePage
from digitnet.training.detector_run import CUT_OUT, HEIGHT, WIDTH, page_maker

SHEET = Path(__file__).parents[1] / "docs" / "made-pages.png"
PAGES, COLUMNS, SEED = 40, 5, 12
CUT_OUT_HEIGHTS = (20, 72)  # pixels; of the digits
GAP = 4  # pixels between pages
LEVELS = 16  # of grey; fewer make a smaller file


def drawn(page: MadePage, *, boxes: bool) -> np.ndarray:
    """The page (h, w) in bytes; larger ones are cut."""
    picture = page.picture.copy()
    for digit in page.digits if boxes else ():
        grey = 128 if digit.label is None else 0 if picture.mean() > 128 else 255
        corners = (round(digit.left) - 1, round(digit.top) - 1), (round(digit.right), round(digit.bottom))
        cv2.rectangle(picture, *corners, grey, 1)
        if digit.label is not None:
            cv2.putText(picture, str(digit.label), corners[0], cv2.FONT_HERSHEY_PLAIN, 0.7, grey)
    return picture[:HEIGHT, :WIDTH]


def sheet(seed: int, *, boxes: bool) -> Image.Image:
    """The pages in rows, on grey."""
    maker = page_maker()
    rows = PAGES // COLUMNS
    picture = np.full((rows * (HEIGHT + GAP), COLUMNS * (WIDTH + GAP)), 160, np.uint8)
    for number in range(PAGES):
        rng = np.random.default_rng([seed, number])
        page = maker.cut_out(rng, *CUT_OUT_HEIGHTS) if rng.random() < CUT_OUT else maker.page(rng, HEIGHT, WIDTH)
        row, column = divmod(number, COLUMNS)
        part = drawn(page, boxes=boxes)
        top = row * (HEIGHT + GAP) + (HEIGHT - len(part)) // 2
        left = column * (WIDTH + GAP) + (WIDTH - len(part[0])) // 2
        picture[top : top + len(part), left : left + len(part[0])] = part
    return Image.fromarray(picture).quantize(LEVELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "file", nargs="?", type=Path, default=SHEET, help="where to write (default: docs/made-pages.png)"
    )
    parser.add_argument("--boxes", action="store_true", help="draw the box and label of each digit")
    parser.add_argument("--seed", type=int, default=SEED, help="which pages (default: 12)")
    options = parser.parse_args()
    sheet(options.seed, boxes=options.boxes).save(options.file, optimize=True)


if __name__ == "__main__":
    main()
