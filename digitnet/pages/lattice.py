"""Candidates to lines in reading order, and each line to its likeliest reading.

Detections overlap: a wide 0 may also be two digits, and the stem of a 4 a 1. Therefore a line is a lattice: candidates
from right to left, each there or not, each any of ten digits, and no two neighbours on the same ink. A reading is a
path through the lattice. All readings that a `Constraint` allows are weighed together (forward and backward sums, Baum
et al., 1970). The answer is the likeliest reading (Viterbi, 1967), each digit with the sum of all readings that agree
with it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from digitnet.inference.rejection import with_more_non_digits
from digitnet.pages.boxes import Boxes, edges, middles, overlapping_pairs, partners
from digitnet.pages.constraints import ANY_NUMBER, Constraint
from digitnet.pages.detect import Detection, same_ink_pairs

STEEPEST = math.tan(math.radians(24))  # slope of a page's lines, rows a column
REACH = 4.0  # heights of a digit; neighbours in a line have no wider gap
SIZES_ALIKE = 2.5  # a digit may be this many times as tall as its neighbour
SURELY = 1 - 1e-4  # the probability that a candidate is there lies between this and its complement
UNLIKELY = 1e-5  # least probability of a digit, since a check digit may ask for it all the same
LIKELIER_NOT = 0.5  # from this probability of a digit on, there is a line to read
KEPT = 1 / 3  # the same for a digit of a line; a digit left out is worse than one too many, because nobody sees it
SURE_COMPANY = 0.97  # from this probability of a digit on, it is company for others
IN_COMPANY, LONE = 4.0, 40.0  # the score assumes so many times more non-digits
NEGLIGIBLE = 1e-30  # a reading that skips digits which are so surely there is left out

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A detection, and what it may be.

    Attributes:
        detection: where it is.
        exists: the probability that a digit is there, of this size, in [0, 1].
        probabilities: (10,) of the digits, given that there is one; they add up to 1.
        vouched: whether DigitNet alone vouches for the likeliest of them.
        crop: (28, 28), what DigitNet sees of it.
    """

    detection: Detection
    exists: float
    probabilities: Numbers
    vouched: bool = False
    crop: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ReadDigit:
    """A candidate in a reading: which digit it is, and the probability that it is there and that digit.

    It is in company where another sure digit stands in its line.
    """

    candidate: Candidate
    digit: int
    confidence: float
    probabilities: tuple[float, ...]
    in_company: bool = False

    @property
    def exists(self) -> float:
        """The probability that there is a digit, whichever it is."""
        return self.confidence / max(self.probabilities[self.digit], 1e-9)

    @property
    def vouched(self) -> bool:
        """Whether DigitNet alone vouches for this digit, whatever its score."""
        return self.candidate.vouched and self.digit == int(self.candidate.probabilities.argmax())

    @property
    def score(self) -> float:
        """The confidence, in [0, 1], as if non-digits were more common than on made pages; it decides what is answered.

        Like `rejection.score`. Among digits a non-digit is rarer than where something stands alone.
        """
        none = max(0.0, 1 - self.exists)
        return float(with_more_non_digits(self.confidence, self.exists, none, IN_COMPANY if self.in_company else LONE))


@dataclass(frozen=True)
class Reading:
    """A line read.

    Attributes:
        digits: from left to right.
        confidence: the probability of this very reading, in [0, 1]; among those that are allowed, if any is.
        allowed: whether the constraint allows any reading; if not, this is the likeliest reading without it.
    """

    digits: tuple[ReadDigit, ...]
    confidence: float
    allowed: bool = True


def grouped(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """The candidates of each line, lines from top to bottom, candidates from left to right.

    Two digits are linked if their sizes are alike, the gap between them is at most `REACH`, and they stand at one
    height along the slope of the page's lines. Digits that are linked, even through others, make a line. Lines of like
    size that stand side by side at one height are one line with a wide gap.
    """
    boxes = edges([candidate.detection for candidate in candidates])
    order = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")  # from left to right
    boxes = boxes[order]
    left, top, right, bottom = boxes.T
    height, (x, y) = bottom - top, middles(boxes).T
    slope = _slope(boxes[[candidates[index].exists >= 0.5 for index in order]])
    level = y - slope * x
    reach, half = REACH * height, 0.5 * height
    one, other = overlapping_pairs(np.stack([left - reach, level - half, right + reach, level + half], axis=1))
    tall, small = np.maximum(height[one], height[other]), np.minimum(height[one], height[other])
    linked = (one < other) & (tall <= SIZES_ALIKE * small) & (left[other] - right[one] < REACH * tall)
    linked &= np.abs(level[other] - level[one]) < 0.5 * tall
    parent = list(range(len(boxes)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in zip(one[linked].tolist(), other[linked].tolist(), strict=True):
        parent[root(second)] = root(first)
    lines: dict[int, list[int]] = {}
    for index in range(len(boxes)):
        lines.setdefault(root(index), []).append(index)
    joined: list[list[int]] = []
    for line in sorted(lines.values(), key=lambda line: np.median(level[line])):
        if joined:
            above = joined[-1]
            small_height, tall_height = sorted((np.median(height[line]), np.median(height[above])))
            apart = np.median(level[line]) - np.median(level[above])
            if tall_height <= SIZES_ALIKE * small_height and apart < 0.5 * small_height:
                joined[-1] = sorted(above + line)
                continue
        joined.append(line)
    return [[candidates[order[index]] for index in line] for line in joined]


def _slope(boxes: Boxes) -> float:
    """Slope of the page's lines, rows a column: the median over near neighbours, 0 where there are few."""
    left, top, _, bottom = boxes.T
    height, y = bottom - top, (top + bottom) / 2
    far, high = 3 * height, (3 * STEEPEST + 0.1) * height
    one, other = overlapping_pairs(np.stack([left - far, y - high, left + far, y + high], axis=1))
    across, down, tall = left[other] - left[one], y[other] - y[one], np.maximum(height[one], height[other])
    near = (across > 0.4 * tall) & (across < 3 * tall) & (np.abs(down) < STEEPEST * across + 0.1 * tall)
    one, across, down = one[near], across[near], down[near]
    order = np.lexsort((across, one))
    _, nearest = np.unique(one[order], return_index=True)
    slopes = (down[order] / across[order])[nearest]
    return float(np.median(slopes)) if len(slopes) >= 2 else 0.0


def read(line: Sequence[Candidate], constraint: Constraint | None = None) -> Reading:
    """The likeliest reading of a line's candidates, from left to right, that the constraint allows.

    Where it allows none, the likeliest of all.
    """
    if constraint is not None:
        lattice = _Lattice(line, constraint)
        if lattice.total > 0:
            return lattice.best()
    return replace(_Lattice(line, ANY_NUMBER).best(), allowed=constraint is None)


class _Lattice:
    """All readings of a line: paths from right to left through candidates that are there, past those that are not.

    Candidates are numbered from the right. The weight of a path is a product of probabilities: that each candidate is
    there or not, and of the digits. Sums of weights are kept for each candidate and state of the constraint, (N, S).
    """

    def __init__(self, line: Sequence[Candidate], constraint: Constraint) -> None:
        self.candidates = list(line)[::-1]
        self.source, self.digit, self.target = np.ascontiguousarray(constraint.arrows.T)
        self.starts, self.accepting = constraint.starts, constraint.accepting
        shape = count, states = len(self.candidates), len(self.starts)
        exists = np.array([candidate.exists for candidate in self.candidates])
        probable = np.array([candidate.probabilities for candidate in self.candidates]).reshape(-1, 10)
        probable = np.maximum(probable, UNLIKELY)
        self.exists = exists.clip(1 - SURELY, SURELY)  # (N,)
        self.digits: Numbers = probable / probable.sum(1, keepdims=True)  # (N, 10)
        # The weight of all candidates right of each being absent, and left of each; the first of each is one of nobody.
        absent = 1 - self.exists
        self.absent_before = np.concatenate([[1.0], np.cumprod(absent)])
        self.absent_after = np.concatenate([[1.0], np.cumprod(absent[::-1])])[::-1][1:]
        self.previous = list(self._previous(absent))
        # Sums over all that may stand right of each candidate, the same with its own digit, and left of each.
        self.arriving, reached = np.zeros(shape), np.zeros(shape)
        for index, (previous, weights) in enumerate(self.previous):
            self.arriving[index] = weights @ reached[previous] + self.absent_before[index] * self.starts
            steps = self.arriving[index, self.source] * self.digits[index, self.digit]
            reached[index] = self.exists[index] * np.bincount(self.target, steps, states)
        self.leaving = self.absent_after[:, np.newaxis] * self.accepting
        # The weight of all readings together.
        self.total = float(self.absent_before[-1] * (self.starts & self.accepting).sum())
        for index in reversed(range(count)):
            previous, weights = self.previous[index]
            steps = self.digits[index, self.digit] * self.leaving[index, self.target]
            with_own = self.exists[index] * np.bincount(self.source, steps, states)
            self.leaving[previous] += weights[:, np.newaxis] * with_own
            if self.absent_before[index] >= NEGLIGIBLE:
                self.total += float(self.absent_before[index] * with_own[self.starts].sum())

    def _previous(self, absent: Numbers) -> Iterator[tuple[slice, Numbers]]:
        """For each candidate those that may be its right neighbour, and the weight of all between being absent.

        The weight is 0 for a candidate on the same ink.
        """
        same = partners(same_ink_pairs(edges([candidate.detection for candidate in self.candidates])), len(absent))
        for index, on_same_ink in enumerate(same):
            weights = np.concatenate([[1.0], np.cumprod(absent[index - 1 : 0 : -1])])[:index]
            weights = weights[: int((weights >= NEGLIGIBLE).sum())][::-1]
            first = index - len(weights)
            weights[[other - first for other in on_same_ink if first <= other < index]] = 0
            yield slice(first, index), weights

    def best(self) -> Reading:
        """The likeliest reading, each digit with what all readings together say of its candidate."""
        if not self.total:  # a very long line, all of it in doubt: its weights are too small for numbers
            return Reading((), 0.0)
        path = self._likeliest()
        digits = []
        for index, digit in path:
            steps = self.arriving[index, self.source] * self.digits[index, self.digit]
            weights = np.bincount(self.digit, steps * self.leaving[index, self.target], 10)
            confidence = min(1.0, float(self.exists[index] * weights[digit]) / self.total)
            probabilities = tuple((weights / max(float(weights.sum()), 1e-300)).tolist())
            digits.append(ReadDigit(self.candidates[index], digit, confidence, probabilities))
        sure = sum(digit.exists >= SURE_COMPANY for digit in digits)
        read_digits = tuple(replace(digit, in_company=sure > (digit.exists >= SURE_COMPANY)) for digit in digits)
        return Reading(read_digits, min(1.0, self._weight(path) / self.total))

    def _weight(self, path: Sequence[tuple[int, int]]) -> float:
        """The weight of a path: its candidates are there with its digits, and all others are absent."""
        factors = 1 - self.exists
        for index, digit in path:
            factors[index] = self.exists[index] * self.digits[index, digit]
        return float(factors.prod())

    def _likeliest(self) -> list[tuple[int, int]]:
        """The candidates and digits of the best path, from left to right.

        The best path must keep a digit that certainly exists even when its class is uncertain. Therefore each
        candidate's digits weigh here in proportion to its likeliest digit. To be there weighs more than to be absent,
        so that the path keeps what is a digit with a probability of `KEPT`.
        """
        ways = np.zeros_like(self.arriving)  # weight of the best way to each candidate and state

        def ways_before(index: int) -> Numbers:
            """Weights of the best ways to a candidate, (1 + M, S): from the start, then from M, the nearest first."""
            previous, weights = self.previous[index]
            start = self.absent_before[index] * self.starts
            return np.concatenate([start[np.newaxis], (weights[:, np.newaxis] * ways[previous])[::-1]])

        def gains(index: int, before: Numbers) -> Numbers:
            """Weights of the ways along each arrow, (E,), whose best ways before have these weights, (S,)."""
            digits = self.digits[index]
            there = self.exists[index] * (1 - KEPT) / KEPT
            return np.asarray(before[self.source] * there * digits[self.digit] / digits.max())

        first = np.flatnonzero(np.diff(self.target, prepend=-1))  # arrow into each state that has any
        for index in range(len(ways)):
            into_states = np.maximum.reduceat(gains(index, ways_before(index).max(0)), first)
            ways[index, self.target[first]] = into_states
        ends = ways * self.absent_after[:, np.newaxis] * self.accepting
        path: list[tuple[int, int]] = []
        if ends.max(initial=0.0) <= float(self.absent_before[-1] * (self.starts & self.accepting).any()):
            return path
        index, state = divmod(int(ends.argmax()), ends.shape[1])
        while index >= 0:
            before = ways_before(index)
            into = np.flatnonzero(self.target == state)
            arrow = into[gains(index, before.max(0))[into].argmax()]
            path.append((index, int(self.digit[arrow])))
            state = int(self.source[arrow])
            behind = int(before[:, state].argmax())  # 0 is the start of the line, 1 the nearest candidate
            index = index - behind if behind else -1
        return path
