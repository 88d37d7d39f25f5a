"""How much of a page is answered, and how much of that is wrong: the curve docs/page-risk.png.

Each folder holds pages and a labels.csv (see digitnet/evaluation/labelled.py). The other curves are of made numbers of
1 to 8 of MNIST's test digits or stroke digits, without difficulties, with one, and with two. Each point is one
`--max-error`. A page counts as answered where it has a digit and no "?", and as wrong where one of its digits is wrong,
missing or too many.

    python benchmarks/page_risk.py FOLDER...
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
from matplotlib import pyplot
from pages import SEED, labelled

from digitnet import Reader
from digitnet.dataset import MNIST, find_mnist
from digitnet.evaluation.page_metrics import only_digits
from digitnet.reading.load import Source
from digitnet.synthesis.pages import PageMaker
from digitnet.synthesis.photos import EVERY

PICTURE = record.ROOT / "docs" / "page-risk.png"
MAX_ERRORS = (0.001, 0.003, 0.01, 0.03, 0.1)
NUMBERS = 80  # made for each curve
LONGEST = 8  # digits
STROKES = 0.4  # of the made numbers are written stroke by stroke

Pages = list[tuple[Source, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    arguments = parser.parse_args()
    sets: dict[str, Pages] = {folder.name: list(labelled(folder)) for folder in arguments.folders}
    sets |= {f"made, {name}": list(made(count)) for count, name in enumerate(("clean", "one difficulty", "two"))}
    readers = {max_error: Reader(max_error=max_error) for max_error in MAX_ERRORS}
    curves: dict[str, Any] = {}
    for name, pages in sets.items():
        curves[name] = [point(reader, max_error, pages) for max_error, reader in readers.items()]
        print(name, curves[name], flush=True)
    draw(curves)
    record.write("page_risk", {"model": next(iter(readers.values())).about, "curves": curves})


def made(difficulties: int) -> Iterator[tuple[Source, str]]:
    """Numbers, each with so many difficulties."""
    mnist = MNIST(find_mnist(), train=False)
    maker = PageMaker(mnist.data.numpy(), mnist.targets.numpy(), np.zeros((0, 28, 28), np.uint8), strokes=STROKES)
    for number in range(NUMBERS):
        rng = np.random.default_rng([SEED, difficulties, number])
        chosen = frozenset(EVERY[index] for index in rng.choice(len(EVERY), difficulties, replace=False))
        page = maker.number(rng, 1 + number % LONGEST, difficulties=chosen)
        yield page.picture, only_digits(page.text)


def point(reader: Reader, max_error: float, pages: Pages) -> dict[str, Any]:
    """What is answered and wrong at one threshold, in percent."""
    answers = [(only_digits(reader.read(picture).text), text) for picture, text in pages]
    answered = [(answer, text) for answer, text in answers if answer and "?" not in answer]
    return {
        "max_error": max_error,
        "n": len(pages),
        "answered_percent": 100 * len(answered) / len(pages),
        "wrong_of_answered_percent": 100 * sum(answer != text for answer, text in answered) / max(1, len(answered)),
    }


def draw(curves: dict[str, Any]) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4.5), dpi=110)
    for name, points in curves.items():
        style = "--" if name.startswith("made") else "-"
        across = [one["answered_percent"] for one in points]
        axes.plot(across, [one["wrong_of_answered_percent"] for one in points], style, marker="o", ms=3, label=name)
    axes.set(xlabel="pages without a ?, %", ylabel="wrong of these, %", xlim=(0, 100))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
