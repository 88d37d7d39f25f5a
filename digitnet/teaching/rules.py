"""When a lesson is kept: it must help beyond chance, and do no harm that can be measured."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from digitnet.reading.adaptation import Matrix
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.teaching.lesson import Tally
from digitnet.teaching.pupil import RIGHT, UNSURE, WRONG, Labels, Levels

CHANCE = 0.05  # a gain that chance gives more often than this is none; the same for a loss
THROWS = 999  # of the coins of a flip test
MOST_ASKED = 3  # digits of which more pictures are asked for


def sign_test(heads: int, tails: int) -> float:
    """The probability that a fair coin shows at least so many heads in so many throws (one-sided sign test)."""
    throws = heads + tails
    return float(sum(math.comb(throws, count) for count in range(heads, throws + 1)) / 2**throws)


def flip_test(gains: Matrix) -> float:
    """The probability that N gains add up to so much if a fair coin throws the sign of each.

    This is the one-sided randomisation test for pairs (Fisher, 1935), estimated with `THROWS` throws of all coins.
    """
    signs = 2 * np.random.default_rng(0).integers(0, 2, (THROWS, len(gains)), np.int8) - 1
    rounding = 1e-6 * np.abs(gains).sum()
    as_much = int((signs @ gains >= gains.sum() - rounding).sum())
    return (1 + as_much) / (1 + THROWS)


def nothing_to_learn(before: Levels, contradicted: Sequence[int] | Labels = ()) -> str | None:
    """Why there is nothing to learn from pictures that are read at these levels; None if there is something."""
    if not len(before):
        return "every label is contradicted by the others and by the model; check the labels"
    if (before == RIGHT).all():
        rest = f"; the labels of the other {len(contradicted):,} look wrong" if len(contradicted) else ""
        return f"nothing to learn: all {len(before):,} are read right{rest}"
    return None


def no_gain(before: Levels, after: Levels, gains: Matrix, labels: Labels, at_once: bool) -> str | None:
    """Why N pictures do not prove a gain, and what would help; None if they do.

    Args:
        before, after: levels (N,).
        gains: how much less surprising each label has become (N,); see `Predictions.surprise`.
        labels: (N,), 0 to 9 or `NOT_A_DIGIT`.
        at_once: the pictures were learnt from, so they prove nothing; it is enough that they are read better.
    """
    better, worse = int((after > before).sum()), int((after < before).sum())
    wrong_before, wrong_after = (int((levels < UNSURE).sum()) for levels in (before, after))
    if at_once:
        if better and (not worse or sign_test(better, worse) < CHANCE):
            return None
        return f"{better} of the pictures would be read better and {worse} worse; check their labels"
    if flip_test(gains) < CHANCE and better >= worse and wrong_after <= wrong_before:
        return None
    hard = Counter(labels[before != RIGHT].tolist())
    asked = ", ".join(f"{_more(count)} more {_name(label)}" for label, count in hard.most_common(MOST_ASKED))
    return (
        f"no gain beyond chance: of {len(before):,} pictures, read without having learnt from them, {better} are read "
        f"better and {worse} worse; more pictures like those that are read wrong would help: {asked}"
    )


def _more(hard: int) -> int:
    """How many more pictures to ask for, if so many of a digit are not read right: as many again, at least five."""
    return max(5, hard)


def _name(label: int) -> str:
    return "pictures of no digit" if label == NOT_A_DIGIT else f"{label}s"


def harm(before: Levels, after: Levels) -> str | None:
    """What lessons would do to other hands and negatives; None if nothing that can be measured.

    Args:
        before, after: levels of the guard set (N,), before the first lesson and after the last one.
    """
    worse, better = int((after < before).sum()), int((after > before).sum())
    if sign_test(worse, better) >= CHANCE:
        return None
    return (
        f"other hands would be read worse: of {len(before):,} pictures of the guard set, {worse} are read worse and "
        f"{better} better; check the labels, or give more pictures of each digit"
    )


def tally(levels: Levels) -> Tally:
    """How many pictures are read right and answered."""
    answered = (levels == RIGHT) | (levels == WRONG)
    return Tally(len(levels), int((levels >= UNSURE).sum()), int(answered.sum()), int((levels == WRONG).sum()))
