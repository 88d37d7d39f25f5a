"""What DigitNet learns from one hand, and what it keeps of the others: random splits of folders of labelled pictures.

Of each folder in TAUGHT, K pictures are learnt from and the rest is read, the whole way from readings to an answer.
After each lesson, the guards are read as well: MNIST's test set and the folders in GUARDS. A lesson that is not kept
counts as a model that has not changed.

    python benchmarks/teaching.py DIR [--splits N] [--only NAME...]      DIR holds the folders
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

from digitnet import Reader
from digitnet.dataset import MNIST, find_mnist
from digitnet.evaluation.labelled import TABLE
from digitnet.evaluation.labelled import labels as labels_of
from digitnet.reading.adaptation import Matrix
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.load import load
from digitnet.reading.networks import OnnxDigitNet
from digitnet.teaching.evidence import Evidence
from digitnet.teaching.pupil import UNSURE, WRONG, Levels, Predictions

TAUGHT = {
    "paint_vn_500": (20, 50, 200),
    "dida": (50, 200),
    "optdigits32": (200,),
    "usps_train": (200,),
    "hwd1000": (20, 200),
    "own_drawn": (20, 200),
}
GUARDS = ("european", "own_photo", "own_drawn", "own_paper28", "not_digits", "fashion")
SHARE_WRONG = 0.05  # of the labels, in the trial with wrong labels
ONLINE = 50  # wrong readings of each folder that are corrected one at a time


class Folder:
    """A folder whose pictures were prepared once: their readings, and what the network makes of them."""

    def __init__(self, reader: Reader, path: Path) -> None:
        if (path / TABLE).exists():
            rows = labels_of(path)
        else:  # pictures of no digit at all need no table
            rows = [(picture.name, NOT_A_DIGIT) for picture in sorted(path.iterdir())]
        self.reader, self.names = reader, [name for name, _ in rows]
        self.labels = np.array([label for _, label in rows])
        self.sights = [reader.digit_reader.sight(load(path / name).grey) for name in self.names]
        images = [digit.image for sight in self.sights for digit in sight.digits]
        self.evidence = Evidence.of(reader.digit_reader.network, np.array(images, np.float32))
        self.ends = np.cumsum([len(sight.digits) for sight in self.sights])
        self.before = self.levels(None)

    def predictions(self, shift: Matrix | None) -> Predictions:
        probabilities = self.evidence.probabilities(shift)
        found = [
            self.reader.digit_reader.chosen(sight, probabilities[end - len(sight.digits) : end])
            for sight, end in zip(self.sights, self.ends, strict=True)
        ]
        answered = np.array([choice.reason is None for choice in found], np.bool_)
        return Predictions(np.stack([choice.probabilities for choice in found]), answered)

    def levels(self, shift: Matrix | None) -> Levels:
        return self.predictions(shift).levels(self.labels)

    def lesson(self, chosen: Any, labels: Any = None, *, at_once: bool = False) -> tuple[Any, Matrix | None]:
        """A lesson from the pictures in the places `chosen`, and its shift; None where it was not kept."""
        lesson = self.reader._teacher.lesson(
            [self.sights[index] for index in chosen],
            (self.labels[chosen] if labels is None else labels).tolist(),
            [self.names[index] for index in chosen],
            at_once=at_once,
        )
        taught = OnnxDigitNet(lesson.model, "taught") if lesson.model else None
        return lesson, taught.adaptation.shift if taught and taught.adaptation else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=list(TAUGHT), choices=list(TAUGHT), metavar="NAME")
    arguments = parser.parse_args()
    reader = Reader()
    guards = {name: Folder(reader, arguments.folder / name) for name in GUARDS}
    mnist = MNIST(find_mnist(None), train=False)
    images = mnist.data.numpy().astype(np.float32) / np.float32(255)
    of_mnist, mnist_labels = Evidence.of(reader.digit_reader.network, images), mnist.targets.numpy()

    def guarded(shift: Matrix | None) -> dict[str, float]:
        """Points or pictures right, of each guard."""
        best = of_mnist.probabilities(shift)[:, :NOT_A_DIGIT].argmax(1)
        right = {name: int((folder.levels(shift) >= UNSURE).sum()) for name, folder in guards.items()}
        return {"mnist": int((best == mnist_labels).sum()), **right}

    untaught = guarded(None)
    figures: dict[str, Any] = {"splits": arguments.splits, "guards_before": untaught, "lessons": []}
    for name in arguments.only:
        folder = Folder(reader, arguments.folder / name)
        for count in TAUGHT[name]:
            row = taught_row(folder, count, arguments.splits)
            shifts = row.pop("shifts")
            after = [guarded(shift) for shift in shifts if shift is not None]
            row["guards_worst_change"] = {key: min([0, *(of[key] - untaught[key] for of in after)]) for key in untaught}
            figures["lessons"].append({"folder": name, "taught": count, **row})
            print(figures["lessons"][-1], flush=True)
        figures.setdefault("wrong_labels", {})[name] = wrong_labels(folder, arguments.splits)
        figures.setdefault("one_correction", {})[name] = one_correction(folder)
        print(figures["wrong_labels"][name], figures["one_correction"][name], flush=True)
        record.write("teaching", figures)  # after each folder, because all of them take an hour


def split(folder: Folder, count: int, seed: int) -> tuple[Any, Any]:
    order = np.random.default_rng(seed).permutation(len(folder.labels))
    return order[:count], order[count:]


def taught_row(folder: Folder, count: int, splits: int) -> dict[str, Any]:
    sums = np.zeros((2, 3), int)
    kept, shifts, seconds = 0, [], []
    for seed in range(splits):
        chosen, rest = split(folder, count, seed)
        started = time.perf_counter()
        lesson, shift = folder.lesson(chosen)
        seconds.append(time.perf_counter() - started)
        kept += lesson.is_kept
        shifts.append(shift)
        for row, levels in zip(sums, (folder.before, folder.levels(shift)), strict=True):
            row += counted(levels[rest])
    names = ("errors", "not_answered_right", "wrong_answers")
    of_rest = {
        when: dict(zip(names, row.tolist(), strict=True)) for when, row in zip(("before", "after"), sums, strict=True)
    }
    return {"kept": kept, **of_rest, "median_seconds": round(float(np.median(seconds)), 2), "shifts": shifts}


def counted(levels: Levels) -> list[int]:
    """Wrong best guesses, pictures not answered right, wrong answers."""
    return [int((levels < UNSURE).sum()), int((levels <= UNSURE).sum()), int((levels == WRONG).sum())]


def wrong_labels(folder: Folder, splits: int) -> dict[str, int]:
    """200 pictures, 5 % of them with another label: what of the rest is not read right, and how many are named."""
    total = {"kept": 0, "errors_before": 0, "errors_after": 0, "wrong": 0, "named": 0, "named_though_right": 0}
    for seed in range(splits):
        chosen, rest = split(folder, 200, seed)
        rng = np.random.default_rng(seed)
        wrong = rng.choice(len(chosen), round(SHARE_WRONG * len(chosen)), replace=False)
        labels = folder.labels[chosen].copy()
        labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
        lesson, shift = folder.lesson(chosen, labels)
        named = {contradiction.name for contradiction in lesson.contradictions}
        mixed = {folder.names[index] for index in chosen[wrong]}
        total["kept"] += lesson.is_kept
        total["errors_before"] += counted(folder.before[rest])[0]
        total["errors_after"] += counted(folder.levels(shift)[rest])[0]
        total["wrong"] += len(mixed)
        total["named"] += len(named & mixed)
        total["named_though_right"] += len(named - mixed)
    return total


def one_correction(folder: Folder) -> dict[str, int]:
    """Each wrong reading is corrected alone: how often the same mistake is made again with other pictures."""
    best = folder.predictions(None).probabilities[:, :NOT_A_DIGIT].argmax(1)
    wrong = np.flatnonzero(best != folder.labels)[:ONLINE]
    total = {
        "corrections": len(wrong),
        "kept": 0,
        "read_right_then": 0,
        "same_mistakes_before": 0,
        "same_mistakes_after": 0,
    }
    for index in wrong:
        lesson, shift = folder.lesson(np.array([index]), at_once=True)
        after = folder.predictions(shift).probabilities[:, :NOT_A_DIGIT].argmax(1)
        same = (folder.labels == folder.labels[index]) & (np.arange(len(best)) != index)
        total["kept"] += lesson.is_kept
        total["read_right_then"] += int(after[index] == folder.labels[index])
        total["same_mistakes_before"] += int((same & (best == best[index])).sum())
        total["same_mistakes_after"] += int((same & (after == best[index])).sum())
    return total


if __name__ == "__main__":
    main()
