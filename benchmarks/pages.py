"""How well whole pages are read: folders of other people's pictures, and made pages of MNIST's test digits.

Each folder holds pictures and a labels.csv with the columns file and text, a line a text line, or file and label. One
whose labels are no digits, or without a labels.csv, holds pictures without any digit. Made pages are written with
MNIST's test digits, as they are, on papers that no other page was made of. `--baseline` reads them the easy way
instead: one threshold, connected parts, each of them classified.

    python benchmarks/pages.py FOLDER... [--baseline] [--max-error E]
"""

import argparse
import csv
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from numpy.random import Generator

from digitnet import Reader
from digitnet.cli import PICTURE_SUFFIXES
from digitnet.dataset import MNIST, find_mnist
from digitnet.files import checksum
from digitnet.imaging.load import Source, load
from digitnet.inference.onnx_models import PACKAGED_DETECTOR
from digitnet.inference.rejection import DEFAULT_MAX_ERROR, NOT_A_DIGIT
from digitnet.synthesis.pages import PageMaker
from digitnet.synthesis.paper import Array, enlarged, plain
from digitnet.training.negatives import held_out_glyphs

NUMBERS = 50  # made for each length, touching and not
LETTER_PAGES = 200
SEED = 20261123

Read = Callable[[Source], tuple[str, str]]  # the text with "?" for what is withheld, and the best guesses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--baseline", action="store_true")
    parser.add_argument("--max-error", type=float, default=DEFAULT_MAX_ERROR)
    arguments = parser.parse_args()
    reader = Reader(max_error=arguments.max_error)

    def read_page(picture: Source) -> tuple[str, str]:
        page = reader.read(picture)
        return "".join(page.text.split()), "".join(str(digit.best_guess) for digit in page.digits)

    read: Read = functools.partial(read_simply, reader) if arguments.baseline else read_page
    figures: dict[str, Any] = {}
    for folder in arguments.folders:
        rows = labelled(folder)
        if any(text.isdigit() for _, text in rows):
            figures[folder.name] = score([(*read(path), text) for path, text in rows])
        else:
            figures[folder.name] = empty([read(path) for path, _ in rows])
        print(folder.name, figures[folder.name], flush=True)
    figures["numbers"] = made_numbers(read)
    figures["letter pages"] = letter_pages(read)
    name = "pages_baseline" if arguments.baseline else "pages"
    detector = checksum(PACKAGED_DETECTOR.read_bytes())
    record.write(name, {"model": reader.about, "detector": detector, "max_error": arguments.max_error, "sets": figures})


def labelled(folder: Path) -> list[tuple[Path, str]]:
    """The pictures of a folder and what is written there, without blanks."""
    if not (folder / "labels.csv").exists():
        return [(file, "") for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURE_SUFFIXES]
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(folder / row["file"], "".join((row.get("text") or row["label"]).split())) for row in rows]


def score(answers: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Of (text, best guesses, truth) each."""
    answered = [(text, truth) for text, _, truth in answers if text and "?" not in text]
    digits = sum(len(truth) for _, _, truth in answers)
    return {
        "n": len(answers),
        "digits": digits,
        "exact_percent": 100 * sum(best == truth for _, best, truth in answers) / len(answers),
        "digit_error_percent": 100 * sum(edits(best, truth) for _, best, truth in answers) / digits,
        "answered_whole_percent": 100 * len(answered) / len(answers),
        "wrong_of_answered_percent": 100 * sum(text != truth for text, truth in answered) / max(len(answered), 1),
    }


def empty(answers: list[tuple[str, str]]) -> dict[str, Any]:
    """Of (text, best guesses) each, of pictures without a digit."""
    return {
        "n": len(answers),
        "with_a_digit_percent": 100 * sum(any(map(str.isdigit, text)) for text, _ in answers) / len(answers),
        "with_a_doubtful_one_percent": 100 * sum(bool(text) for text, _ in answers) / len(answers),
    }


def edits(one: str, other: str) -> int:
    """How many digits to insert, drop or change to make the one from the other (Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for index, a in enumerate(one, 1):
        before, row = row, [index]
        for column, b in enumerate(other, 1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (a != b)))
    return row[-1]


def made_numbers(read: Read) -> dict[str, Any]:
    """Numbers of each length, apart and touching."""
    mnist = MNIST(find_mnist(), train=False)
    maker = PageMaker(mnist.data.numpy(), mnist.targets.numpy(), np.zeros((0, 28, 28), np.uint8), PAPERS)
    table: dict[str, Any] = {}
    for touching in (False, True):
        everything = []
        for length in range(1 + touching, 11):
            answers = []
            for number in range(NUMBERS):
                page = maker.number(np.random.default_rng([SEED, length, touching, number]), length, touching=touching)
                answers.append((*read(page.picture), "".join(page.text.split())))
            table[f"{length} {'touching' if touching else 'apart'}"] = score(answers)
            everything += answers
        table["touching" if touching else "apart"] = score(everything)
        print("touching" if touching else "apart", table["touching" if touching else "apart"], flush=True)
    return table


def letter_pages(read: Read) -> dict[str, Any]:
    """Pages written like those of numbers, but with letters that no network was trained on."""
    glyphs, labels = held_out_glyphs()
    letters = glyphs[labels == NOT_A_DIGIT, 0].numpy()
    maker = PageMaker(letters, np.zeros(len(letters), np.int64), letters, PAPERS)
    pages = (maker.page(np.random.default_rng([SEED, number]), 240, 320) for number in range(LETTER_PAGES))
    return empty([read(page.picture) for page in pages])


def read_simply(reader: Reader, picture: Source) -> tuple[str, str]:
    """One threshold (Otsu, 1979), connected parts, each of them classified, from left to right."""
    grey = load(picture).grey
    _, mask = cv2.threshold((grey * 255).astype(np.uint8), 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    if mask.mean() > 0.5:
        mask = 1 - mask
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [(x, y, w, h) for x, y, w, h, area in stats[1:].tolist() if h >= 8 and area >= 16]
    read = []
    for x, y, w, h in sorted(boxes):
        margin = max(2, h // 4)
        part = grey[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]
        if min(part.shape) >= 8 and (digit := reader.predict(part)).best_guess is not None:
            read.append(digit)
    return (
        "".join("?" if digit.digit is None else str(digit.digit) for digit in read),
        "".join(str(digit.best_guess) for digit in read),
    )


def millimetre(height: int, width: int, rng: Generator) -> Array:
    """Fine squares, every fifth line bold."""
    pitch, faint = rng.uniform(4, 9), rng.uniform(0.05, 0.2)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    printed = np.zeros((height, width), np.float32)
    for step, strength in ((pitch, faint), (5 * pitch, 2 * faint)):
        for axis in (rows, columns):
            np.maximum(printed, (axis % step < 1) * np.float32(strength), out=printed)
    return plain(height, width, rng) * (1 - printed)


def recycled(height: int, width: int, rng: Generator) -> Array:
    """Specks and short fibres, light and dark."""
    paper = plain(height, width, rng)
    for _ in range(height * width // 400):
        x, y, angle, length = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, math.pi), rng.uniform(0, 8)
        end = (round(x + length * math.cos(angle)), round(y + length * math.sin(angle)))
        shade = float(paper[0, 0] * (1 + rng.normal(0, 0.08)))
        cv2.line(paper, (round(x), round(y)), end, shade, 1, cv2.LINE_AA)
    return paper


def wood(height: int, width: int, rng: Generator) -> Array:
    """Long grain, as a desk or a board has it."""
    grain = enlarged(rng.standard_normal((max(2, height // 3), max(2, width // 60))), (height, width))
    return plain(height, width, rng) * (1 + rng.uniform(0.03, 0.1) * grain)


def stained(height: int, width: int, rng: Generator) -> Array:
    """Rings of cups, and what was spilled."""
    paper = plain(height, width, rng)
    for _ in range(int(rng.integers(1, 4))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        stain = np.ones((height, width), np.float32)
        thick = int(rng.integers(2, 6)) if rng.random() < 0.6 else -1
        cv2.circle(
            stain, centre, int(rng.integers(10, max(12, width // 3))), 1 - rng.uniform(0.05, 0.25), thick, cv2.LINE_AA
        )
        paper *= cv2.GaussianBlur(stain, (0, 0), rng.uniform(0.5, 3))
    return paper


PAPERS = {paper.__name__: paper for paper in (millimetre, recycled, wood, stained)}


if __name__ == "__main__":
    main()
