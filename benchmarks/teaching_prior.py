"""Compares priors of lessons (`teaching/last_layer.py`) with hands that are new to the model; one of them was chosen.

The hands: of many random stroke hands those that are read worst, and held-out training images of MNIST that were all
changed in the same way. The other hands are the rest of the held-out images. No image is in the guard set. MNIST's
test set and folders of pictures are not used. For each prior: wrong best guesses among a hand's digits that are not
taught, before and after; how many of the other hands' images are then read wrong that were read right, less those
that are read right instead; lessons that the guard set refuses; and taught digits that are read right.

    python benchmarks/teaching_prior.py [--splits N] [--taught K...]
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import cv2
import numpy as np
import numpy.typing as npt
import torch

from digitnet import Reader
from digitnet.dataset import get_validation_loader
from digitnet.reading.adaptation import Matrix
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.digit_reader import Sight
from digitnet.reading.normalise import SIDE, NormalisedDigit, normalise
from digitnet.results import Box
from digitnet.synthesis import strokes
from digitnet.synthesis.stroke_hands import random_stroke_hand
from digitnet.teaching import last_layer
from digitnet.teaching.augmentation import augmented
from digitnet.teaching.evidence import Evidence
from digitnet.teaching.guard import GUARD, replay_and_guard
from digitnet.teaching.pupil import Pupil
from digitnet.teaching.rules import harm
from digitnet.teaching.teacher import REPLAY_COPIES

SEED = 31  # training, calibration and the guard set have others
TRIED, HANDS = 200, 6  # stroke hands, and how many of them are taught
DIGITS = 500  # of each hand
CHANGED = 1600  # held-out images for the changed hands; the rest are the other hands
COARSE = 14  # pixels
# What is patched in `last_layer`; COPIES are those of each replay picture, and TIMES is how much a picture counts.
PRIORS: tuple[dict[str, float], ...] = (
    {"PRIOR": 0.001},
    {"PRIOR": 0.003},
    {"PRIOR": 0.01},
    {"PRIOR": 0.03},
    {"PRIOR": 0.003, "REPLAY_PRIOR": 3},
    {"PRIOR": 0.003, "REPLAY_PRIOR": 340},
    {"PRIOR": 0.003, "RANK": 384},
    {"PRIOR": 0.003, "COPIES": 6},
    {"PRIOR": 0.003, "TIMES": 4},
    {"PRIOR": 0.003, "TIMES": 16},
    {"PRIOR": 0.003, "TIMES": 64},
)

Images = npt.NDArray[np.float32]  # (N, 28, 28)
Hand = tuple[str, Images, npt.NDArray[np.int64]]  # its name, its digits and their labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--taught", type=int, nargs="+", default=[1, 20, 50, 200])
    arguments = parser.parse_args()
    reader = Reader()
    images, labels = held_out()
    hands = [*stroke_hands(reader), *changed_hands(images[:CHANGED], labels[:CHANGED])]
    others, other_labels = Evidence.of(reader.digit_reader.network, images[CHANGED:]), labels[CHANGED:]
    for name, digits, right in hands:
        wrong = best(Evidence.of(reader.digit_reader.network, digits)) != right
        print(f"{name}: {wrong.mean():.1%} of {len(right)} digits are read wrong")
    others_right = int((best(others) == other_labels).sum())
    print(f"other hands: {len(other_labels) - others_right} of {len(other_labels):,} are read wrong")
    for count in arguments.taught:
        sums = np.zeros((len(PRIORS), 6), int)
        for _, digits, right in hands:
            evidence = Evidence.of(reader.digit_reader.network, digits)
            wrong = best(evidence) != right
            for split in range(arguments.splits):
                order = np.random.default_rng(split).permutation(len(right))
                chosen = order[:count] if count > 1 else order[wrong[order]][:1]  # a single one is a correction
                rest = np.setdiff1d(order, chosen)
                pupil = Pupil(reader.digit_reader, [sight(digits[index]) for index in chosen], right[chosen].tolist())
                for row, prior in zip(sums, PRIORS, strict=True):
                    shift = shifted(reader, pupil, prior)
                    read = best(evidence, shift) == right
                    after = reader._teacher._guard_levels(shift)
                    row += (
                        wrong[rest].sum(),
                        (~read[rest]).sum(),
                        others_right - (best(others, shift) == other_labels).sum(),
                        harm(reader._teacher._guard_before, after) is not None,
                        read[chosen].sum(),
                        len(chosen),
                    )
        for prior, counts in zip(PRIORS, sums.tolist(), strict=True):
            print(count, prior, "errors {} -> {}, others lost {}, refused {}, taught right {} of {}".format(*counts))


def shifted(reader: Reader, pupil: Pupil, prior: dict[str, float]) -> Matrix:
    """The shift that a pupil's pictures give with a prior."""
    values = {name: value for name, value in prior.items() if name not in ("COPIES", "TIMES")}
    with ExitStack() as patches:
        for name, value in values.items():
            patches.enter_context(mock.patch.object(last_layer, name, value))
        key = str({**prior, "TIMES": 1})
        if key not in made:
            copies = augmented(replay_and_guard()[0].images, int(prior.get("COPIES", REPLAY_COPIES)))
            made[key] = last_layer.Prior(Evidence.of(reader.digit_reader.network, copies).features)
        layer = last_layer.LastLayer(pupil.rows, pupil.row_labels, made[key])
        return layer.shift(pupil.weights(np.full(len(pupil.labels), prior.get("TIMES", 1), np.float32)))


made: dict[str, last_layer.Prior] = {}


def held_out() -> tuple[Images, npt.NDArray[np.int64]]:
    """MNIST's held-out training images that are not in the guard set, mixed."""
    batches = list(get_validation_loader(None))
    images, labels = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    with np.load(GUARD) as file:
        guarded = {image.tobytes() for image in file["images"]}
    in_bytes = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    free = np.flatnonzero([image.tobytes() not in guarded for image in in_bytes])
    mixed = np.random.default_rng(SEED).permutation(free)
    return images[:, 0].numpy()[mixed], labels.numpy()[mixed]


def stroke_hands(reader: Reader) -> Iterator[Hand]:
    """Random hands that write digits stroke by stroke; the ones that are read worst."""
    rng = np.random.default_rng(SEED)
    found = []
    for number in range(TRIED):
        hand = random_stroke_hand(rng)
        images, labels = written_by(hand, 100, number)
        found.append((float((best(Evidence.of(reader.digit_reader.network, images)) != labels).mean()), number, hand))
    for _, number, hand in sorted(found, key=lambda one: one[0], reverse=True)[:HANDS]:
        yield f"stroke hand {number}", *written_by(hand, DIGITS, TRIED + number)


def written_by(hand: Any, count: int, number: int) -> tuple[Images, npt.NDArray[np.int64]]:
    with mock.patch.object(strokes, "random_stroke_hand", return_value=hand):
        images, labels, _ = strokes.stroke_digits(count, 1000 * SEED + number)
    return images.astype(np.float32) / np.float32(255), labels


def changed_hands(images: Images, labels: npt.NDArray[np.int64]) -> Iterator[Hand]:
    """Hands that are all slanted, or written with a thick pen, and so on. Two hands may share digits."""
    for place, (name, change) in enumerate(CHANGES.items()):
        start = place * (len(images) - DIGITS) // (len(CHANGES) - 1)
        part = slice(start, start + DIGITS)
        digits = [normalise(1 - np.pad(change(image), 6)) for image in images[part]]
        yield name, np.array([digit.image for digit in digits if digit]), labels[part]


def slanted(image: Matrix, slant: float) -> Matrix:
    """With columns to the right for each row up; the sheet is twice as large."""
    return np.asarray(cv2.warpAffine(image, np.array([[1, -slant, SIDE / 2 + slant * SIDE / 2], [0, 1, 14]]), (56, 56)))


def thick(image: Matrix) -> Matrix:
    large = cv2.resize(image, (56, 56), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return np.asarray(cv2.dilate(np.pad(large, 8), np.ones((6, 6))))


def coarse(image: Matrix) -> Matrix:
    small = cv2.resize(image, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize((small > 0.3).astype(np.float32), (56, 56), interpolation=cv2.INTER_NEAREST))


def wide(image: Matrix) -> Matrix:
    return np.asarray(cv2.resize(image, (72, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1))


CHANGES: dict[str, Callable[[Matrix], Matrix]] = {
    "slanted": lambda image: slanted(image, 0.75),
    "leaning back": lambda image: slanted(image, -0.65),
    "thick": thick,
    "coarse": coarse,
    "wide": wide,
}


def sight(image: Matrix) -> Sight:
    """What is seen in a digit that is normalised already."""
    digit = NormalisedDigit(image, Box(0, 0, SIDE, SIDE), strength=1.0, several=False)
    return Sight((SIDE, SIDE), digit, is_complete=False)


def best(evidence: Evidence, shift: Matrix | None = None) -> npt.NDArray[np.int64]:
    return np.asarray(evidence.probabilities(shift)[:, :NOT_A_DIGIT].argmax(1))


if __name__ == "__main__":
    main()
