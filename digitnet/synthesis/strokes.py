"""Stroke digits: single digits that random hands write stroke by stroke, for training.

Each digit has a hand of its own, so that they differ as much as possible. Some are scanned coarsely, in black and
white, or stretched to fill a square. Then they are normalised as any picture is.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.ink import STRONG
from digitnet.reading.normalise import SIDE, fit
from digitnet.synthesis.paper import Array
from digitnet.synthesis.stroke_hands import StrokeHand, inked, random_stroke_hand, written
from digitnet.synthesis.variants import Variant, letters

Images = npt.NDArray[np.uint8]  # (N, 28, 28)
Numbers = npt.NDArray[np.int64]  # (N,)

REACH = 56  # pixels; the longer side of a digit's strokes
MARGIN = 4  # pixels around the ink, for blur
CANVASES = 36, 64, 112  # pixels; sides of the square stacks in which digits are normalised
CHUNK = 500  # digits that share their random numbers; results do not depend on the number of workers
STREAM = 4  # of random numbers; pages have others
COARSE = np.array([16, 16, 20, 24, 28, 32])  # pixels; the longer side of a coarse scan


def stroke_digits(count: int, seed: int, *, workers: int = 1) -> tuple[Images, Numbers, Numbers]:
    """Images (N, 28, 28) in bytes, ink bright on dark, their labels (N,) and their places (N,) in `variants()`.

    All digits are equally often. The result depends on `count` and `seed` only, and the first digits of a larger
    `count` are the same.

    Args:
        workers: processes that share the work; 1 is this process alone. They import the program's main module, so
            a script that asks for more than one needs `if __name__ == "__main__":`.
    """
    jobs = [(seed, start, min(CHUNK, count - start)) for start in range(0, count, CHUNK)]
    if workers > 1 and len(jobs) > 1:
        # Workers are started afresh: a fork would copy the locks of threads, such as those of torch.
        context = get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(jobs)), context, cv2.setNumThreads, (1,)) as pool:
            chunks = list(pool.map(_chunk, jobs))
    else:
        chunks = list(map(_chunk, jobs))
    images = np.concatenate([np.zeros((0, SIDE, SIDE), np.uint8), *(images for images, _ in chunks)])
    indices = np.concatenate([np.zeros(0, np.int64), *(indices for _, indices in chunks)])
    return images, np.arange(count) % 10, indices


@dataclass(frozen=True)
class StrokeDigit:
    """One digit: ink (h, w) in [0, 1], cropped to the ink, and the variant that it was written as."""

    ink: Array
    variant: Variant


def digits_of(seed: int, count: int, *, start: int = 0) -> Iterator[StrokeDigit]:
    """`count` random digits, the labels in turn, as they lie on the paper: before they are normalised."""
    rng = np.random.default_rng([seed, start, STREAM])
    for index in range(start, start + count):
        hand = random_stroke_hand(rng)
        yield _on_paper(hand.variant(index % 10, rng), hand, rng)


def stroke_letters(count: int, seed: int) -> Images:
    """Letters and signs by the same kinds of hands and pens, (N, 28, 28) in bytes, ink bright on dark."""
    rng = np.random.default_rng([seed, STREAM, NOT_A_DIGIT])
    alphabet = letters()
    inks = [_on_paper(alphabet[index % len(alphabet)], random_stroke_hand(rng), rng).ink for index in range(count)]
    return _normalised(inks)


def _on_paper(variant: Variant, hand: StrokeHand, rng: Generator) -> StrokeDigit:
    strokes = written(variant, hand, rng)
    height = REACH / max(1.0, *(float(stroke[:, 0].max()) for stroke in strokes))
    return StrokeDigit(_scanned(inked(strokes, variant, hand, height, rng), variant.label, rng), variant)


def _chunk(job: tuple[int, int, int]) -> tuple[Images, Numbers]:
    seed, start, count = job
    digits = list(digits_of(seed, count, start=start))
    return _normalised([digit.ink for digit in digits]), np.array([digit.variant.index for digit in digits])


def _normalised(inks: list[Array]) -> Images:
    """All digits (N, 28, 28) in bytes. Those that fit into a canvas of one size are computed together."""
    images = np.zeros((len(inks), SIDE, SIDE), np.uint8)
    sides = np.array([max(ink.shape) for ink in inks])
    smaller = 0
    for side in CANVASES:
        members = np.flatnonzero((sides > smaller) & (sides <= side))
        smaller = side
        if not len(members):
            continue
        stack = np.zeros((len(members), side, side), np.float32)
        for canvas, member in zip(stack, members.tolist(), strict=True):
            height, width = inks[member].shape
            canvas[:height, :width] = inks[member]
        images[members] = np.rint(fit(stack, (stack > STRONG).astype(np.uint8)) * 255)
    return images


def _scanned(ink: Array, label: int, rng: Generator) -> Array:
    """The ink as a camera or a scanner has it: blurred, noisy, coarse, in black and white only."""
    share = rng.random(6).tolist()
    if share[0] < 0.3:
        ink = np.pad(ink, MARGIN)
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), 0.4 + share[1]), np.float32)
    if share[2] < 0.4:
        ink = _coarse(ink, label, rng)
    elif share[2] < 0.5:
        grain = np.clip(rng.normal(0, 0.12 * share[3], ink.shape), -0.25, 0.25)  # too faint to count as strokes
        ink = np.clip(ink + grain, 0, 1).astype(np.float32)
    return np.asarray(ink / max(float(ink.max()), 1e-3), np.float32)


def _coarse(ink: Array, label: int, rng: Generator) -> Array:
    """The ink at few pixels."""
    x, y, w, h = cv2.boundingRect((ink > STRONG * ink.max()).view(np.uint8))
    side = int(COARSE[rng.integers(len(COARSE))])
    wide, high = max(3, round(side * w / max(w, h))), max(3, round(side * h / max(w, h)))
    share = rng.random(5).tolist()
    if share[0] < 0.5:  # stretched to fill a square, or nearly; too much of it makes a 7 of a 1
        wide = min(side, round(wide * (1 + share[1] * (0.5 if label == 1 else 1))))
    small = np.asarray(cv2.resize(ink[y : y + h, x : x + w], (wide, high), interpolation=cv2.INTER_AREA), np.float32)
    if share[2] < 0.6:
        usual = float(np.median(small[small > 0.15 * small.max()]))  # so that thin strokes stay whole
        small = (small > (0.4 + 0.4 * share[3]) * usual).astype(np.float32)
        if share[4] < 0.3:  # ragged edges
            edge = cv2.dilate(small, np.ones((2, 2), np.uint8)) - small
            small = np.maximum(small, edge * (rng.random(small.shape) < rng.uniform(0, 0.5)), dtype=np.float32)
    return small
