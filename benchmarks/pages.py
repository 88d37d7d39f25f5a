"""How well whole pages are read: folders of other people's pictures, and made pages of MNIST's test digits.

Each folder holds pictures and a labels.csv (see digitnet/evaluation/labelled.py). Pictures without any digit have no
labels.csv, or words as labels. Made pages show MNIST's test digits without changes, on papers that no other made page
uses. `--baseline` reads the pages in the simplest way: one threshold, then each connected component is classified.

    python benchmarks/pages.py FOLDER... [--baseline] [--max-error E]
"""

import argparse
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
from digitnet.dataset import MNIST, find_mnist
from digitnet.evaluation.labelled import TABLE, labels
from digitnet.evaluation.page_metrics import LabelledPages, compute_page_metrics, only_digits
from digitnet.files import PICTURE_SUFFIXES, checksum
from digitnet.reading.answer import DEFAULT_MAX_ERROR, NOT_A_DIGIT
from digitnet.reading.load import Source, load
from digitnet.reading.networks import PACKAGED_DETECTOR
from digitnet.synthesis.glyphs import glyphs
from digitnet.synthesis.pages import PageMaker
from digitnet.synthesis.paper import Array, enlarged, plain
from digitnet.synthesis.photos import EVERY, Difficulties

NUMBERS = 50  # made for each length, touching and not
LETTER_PAGES = 200
STROKES = 0.4  # of the numbers with difficulties are written stroke by stroke
SEED = 20261123

Read = Callable[[Source], tuple[str, str]]  # the text with "?" for each abstained digit, and the best guesses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--baseline", action="store_true")
    parser.add_argument("--max-error", type=float, default=DEFAULT_MAX_ERROR)
    arguments = parser.parse_args()
    reader = Reader(max_error=arguments.max_error)

    def read_page(picture: Source) -> tuple[str, str]:
        page = reader.read(picture)
        return only_digits(page.text), "".join(str(digit.best_guess) for digit in page.digits)

    read: Read = functools.partial(read_simply, reader) if arguments.baseline else read_page
    figures: dict[str, Any] = {}
    for folder in arguments.folders:
        rows = labelled(folder)
        if any(text for _, text in rows):
            figures[folder.name] = score([(*read(path), text) for path, text in rows])
        else:
            figures[folder.name] = empty([read(path) for path, _ in rows])
        print(folder.name, figures[folder.name], flush=True)
    figures["numbers"] = made_numbers(read)
    figures["difficulties"] = made_with_difficulties(read)
    figures["letter pages"] = letter_pages(read)
    name = "pages_baseline" if arguments.baseline else "pages"
    detector = checksum(PACKAGED_DETECTOR.read_bytes())
    record.write(name, {"model": reader.about, "detector": detector, "max_error": arguments.max_error, "sets": figures})


def labelled(folder: Path) -> list[tuple[Path, str]]:
    """The pictures of a folder and the digits that are written there, without blanks."""
    if not (folder / TABLE).exists():
        return [(file, "") for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURE_SUFFIXES]
    rows = labels(folder)
    return [(folder / file, "" if label == NOT_A_DIGIT else only_digits(str(label))) for file, label in rows]


def score(readings: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Metrics in percent of (text, best guesses, truth) of each page."""
    texts, best_guesses, truths = zip(*readings, strict=True)
    metrics = compute_page_metrics(LabelledPages("pages", truths, texts, best_guesses))
    return {
        "n": len(readings),
        "digits": metrics.digits,
        "exact_percent": 100 * (metrics.accuracy.fraction or 0),
        "digit_error_percent": 100 * (metrics.digit_error_rate or 0),
        "answered_whole_percent": 100 * (metrics.answered.fraction or 0),
        "wrong_of_answered_percent": 100 * (metrics.wrong_answers.fraction or 0),
    }


def empty(readings: list[tuple[str, str]]) -> dict[str, Any]:
    """How many pictures without a digit have one in their (text, best guesses), and how many have one or a "?"."""
    return {
        "n": len(readings),
        "with_a_digit_percent": 100 * sum(any(map(str.isdigit, text)) for text, _ in readings) / len(readings),
        "with_a_doubtful_one_percent": 100 * sum(bool(text) for text, _ in readings) / len(readings),
    }


def made_numbers(read: Read) -> dict[str, Any]:
    """Numbers of each length, apart and touching."""
    mnist = MNIST(find_mnist(), train=False)
    maker = PageMaker(mnist.data.numpy(), mnist.targets.numpy(), np.zeros((0, 28, 28), np.uint8), PAPERS)
    table: dict[str, Any] = {}
    for touching in (False, True):
        everything = []
        for length in range(1 + touching, 11):
            readings = []
            for number in range(NUMBERS):
                page = maker.number(np.random.default_rng([SEED, length, touching, number]), length, touching=touching)
                readings.append((*read(page.picture), only_digits(page.text)))
            table[f"{length} {'touching' if touching else 'apart'}"] = score(readings)
            everything += readings
        table["touching" if touching else "apart"] = score(everything)
        print("touching" if touching else "apart", table["touching" if touching else "apart"], flush=True)
    return table


def made_with_difficulties(read: Read) -> dict[str, Any]:
    """Numbers of 1 to 8 digits, by MNIST's test digits or stroke by stroke, clean and with each difficulty alone."""
    mnist = MNIST(find_mnist(), train=False)
    maker = PageMaker(mnist.data.numpy(), mnist.targets.numpy(), np.zeros((0, 28, 28), np.uint8), strokes=STROKES)
    table: dict[str, Any] = {}
    cases: dict[str, Difficulties] = {"clean": frozenset(), **{name: frozenset({name}) for name in EVERY}}
    for index, (name, difficulties) in enumerate(cases.items()):
        readings = []
        for number in range(NUMBERS):
            rng = np.random.default_rng([SEED, 100 + index, number])
            page = maker.number(rng, 1 + number % 8, difficulties=difficulties)
            readings.append((*read(page.picture), only_digits(page.text)))
        table[name] = score(readings)
    print("difficulties", table, flush=True)
    return table


def letter_pages(read: Read) -> dict[str, Any]:
    """Pages like those of numbers, but of letters that no network was trained on."""
    images, labels = glyphs(held_out=True)
    letters = images[labels == NOT_A_DIGIT]
    maker = PageMaker(letters, np.zeros(len(letters), np.int64), letters, PAPERS)
    pages = (maker.page(np.random.default_rng([SEED, number]), 240, 320) for number in range(LETTER_PAGES))
    return empty([read(page.picture) for page in pages])


def read_simply(reader: Reader, picture: Source) -> tuple[str, str]:
    """One threshold (Otsu, 1979), then each connected component is classified, from left to right."""
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
    """Long grain, as on a desk or a board."""
    grain = enlarged(rng.standard_normal((max(2, height // 3), max(2, width // 60))), (height, width))
    return plain(height, width, rng) * (1 + rng.uniform(0.03, 0.1) * grain)


def stained(height: int, width: int, rng: Generator) -> Array:
    """Rings of cups, and spilled drops."""
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
