"""Digits found on a page to lines in reading order, and each line to its likeliest reading.

Finds overlap: a wide 0 may also be two digits, and the stem of a 4 a 1. So a line is a lattice: candidates from right
to left, each there or not, each any of ten digits, and no two neighbours on the same ink. A reading is a way through
the lattice. All readings that a `Constraint` allows are weighed together (forward and backward sums, Baum et al.,
1970), and the likeliest (Viterbi, 1967) is read, each digit with the sum of all readings that agree with it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from digitnet.pages.constraints import All, Constraint, State
from digitnet.pages.detect import Detection, same_ink

STEEPEST = math.tan(math.radians(24))  # of a page's lines, rows a column
REACH = 4.0  # heights of a digit between neighbours of one line
SIZES_ALIKE = 2.5  # times as tall as its neighbour may a digit be
SURELY = 1 - 1e-4  # no candidate is surer than this to be there, nor surer not to be
UNLIKELY = 1e-5  # of a digit, at least: a check digit may say that it is one all the same
NEGLIGIBLE = 1e-30  # a reading that skips so much that is there is left out


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
    probabilities: npt.NDArray[np.float64]
    vouched: bool = False
    crop: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ReadDigit:
    """A candidate in a reading: which digit it is, and the probability that it is there and that digit."""

    candidate: Candidate
    digit: int
    confidence: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Reading:
    """A line read.

    Attributes:
        digits: from left to right.
        confidence: the probability of this very reading, in [0, 1]; among those that are allowed, if any is.
        allowed: whether a reading exists that the constraint allows; else this is the likeliest of all.
    """

    digits: tuple[ReadDigit, ...]
    confidence: float
    allowed: bool = True


def grouped(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """The candidates of each line, lines from top to bottom, candidates from left to right.

    Digits of one line are linked to those within `REACH` to the right that are of like size and, seen along the slope
    of the page's lines, at one height; what is linked, however indirectly, is a line. Lines of like size that stand
    side by side at one height are one line with a wide gap.
    """
    slope = _slope(candidates)
    left = sorted(candidates, key=lambda candidate: _middle(candidate)[0])
    parent = list(range(len(left)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for index, one in enumerate(left):
        for other_index in range(index + 1, len(left)):
            if _neighbours(one.detection, left[other_index].detection, slope):
                parent[root(other_index)] = root(index)
    lines: dict[int, list[Candidate]] = {}
    for index, candidate in enumerate(left):
        lines.setdefault(root(index), []).append(candidate)
    return _one_below_the_other(list(lines.values()), slope)


def _neighbours(one: Detection, other: Detection, slope: float) -> bool:
    """Whether `other`, to the right of `one`, may be the next digit of its line, or the same digit found twice."""
    small, tall = sorted((one.height, other.height))
    if tall > SIZES_ALIKE * small:
        return False
    across = (other.left + other.right - one.left - one.right) / 2
    down = (other.top + other.bottom - one.top - one.bottom) / 2 - slope * across
    gap = other.left - one.right
    return gap < REACH * tall and abs(down) < 0.5 * tall


def _slope(candidates: Sequence[Candidate]) -> float:
    """Of the page's lines, rows a column: the median over pairs of near neighbours, 0 where there are few."""
    slopes = []
    for one in candidates:
        if one.exists < 0.5:
            continue
        nearest = None
        for other in candidates:
            across = other.detection.left - one.detection.left
            height = max(one.detection.height, other.detection.height)
            if other is one or other.exists < 0.5 or not 0.4 * height < across < 3 * height:
                continue
            down = _middle(other)[1] - _middle(one)[1]
            if abs(down) < STEEPEST * across + 0.1 * height and (nearest is None or across < nearest[0]):
                nearest = (across, down)
        if nearest:
            slopes.append(nearest[1] / nearest[0])
    return float(np.median(slopes)) if len(slopes) >= 2 else 0.0


def _middle(candidate: Candidate) -> tuple[float, float]:
    detection = candidate.detection
    return (detection.left + detection.right) / 2, (detection.top + detection.bottom) / 2


def _one_below_the_other(lines: list[list[Candidate]], slope: float) -> list[list[Candidate]]:
    """The lines from top to bottom, those at one height joined."""

    def height(line: list[Candidate]) -> float:
        return float(np.median([candidate.detection.height for candidate in line]))

    def level(line: list[Candidate]) -> float:
        return float(np.median([_middle(candidate)[1] - slope * _middle(candidate)[0] for candidate in line]))

    ordered: list[list[Candidate]] = []
    for line in sorted(lines, key=level):
        above = ordered[-1] if ordered else None
        small, tall = sorted((height(line), height(above))) if above else (1.0, 1.0)
        if above and tall <= SIZES_ALIKE * small and level(line) - level(above) < 0.5 * small:
            above.extend(line)
        else:
            ordered.append(list(line))
    return [sorted(line, key=lambda candidate: _middle(candidate)[0]) for line in ordered]


def read(line: Sequence[Candidate], constraint: Constraint | None = None) -> Reading:
    """The likeliest reading of a line's candidates, from left to right, that the constraint allows.

    Where it allows none, the likeliest of all.
    """
    free: Constraint = All()
    lattice = _Lattice(line, constraint or free)
    if lattice.total > 0:
        return lattice.best()
    return replace(_Lattice(line, free).best(), allowed=False)


class _Lattice:
    """All readings of a line: a way from right to left through candidates that are there, past those that are not.

    Candidates are numbered from the right. Weights are products of probabilities: of being there or not, and of the
    digits.
    """

    def __init__(self, line: Sequence[Candidate], constraint: Constraint) -> None:
        self.candidates = list(line)[::-1]
        self.constraint = constraint
        detections = [candidate.detection for candidate in self.candidates]
        self.same_ink: list[list[bool]] = same_ink(detections, detections).tolist()
        self.exists = [min(max(candidate.exists, 1 - SURELY), SURELY) for candidate in self.candidates]
        self.digits = []
        for candidate in self.candidates:
            probable = np.maximum(candidate.probabilities, UNLIKELY)
            self.digits.append((probable / probable.sum()).tolist())
        self.arriving: list[dict[State, float]] = []  # weight of all that may be read to the right of each
        self.reached: list[dict[State, float]] = []  # the same, with its own digit
        for index in range(len(self.candidates)):
            self._sum_from_the_right(index)
        self.leaving = self._sums_to_the_left()  # weight of all that may be read to the left of each, by state
        self.total = self._following(-1, constraint.start)

    def best(self) -> Reading:
        """The likeliest reading."""
        weight, path = self._likeliest()
        digits = tuple(self._read_digit(index, digit) for index, digit in path)
        return Reading(digits, min(1.0, weight / self.total))

    def _read_digit(self, index: int, digit: int) -> ReadDigit:
        """The digit with what all readings together say of its candidate."""
        weights = [0.0] * 10
        for state, weight in self.arriving[index].items():
            for possible, probability in enumerate(self.digits[index]):
                after = self.constraint.step(state, possible)
                if after is not None:
                    weights[possible] += weight * probability * self.leaving[index].get(after, 0.0)
        there = max(sum(weights), 1e-300)
        confidence = min(1.0, self.exists[index] * weights[digit] / self.total)
        probabilities = tuple(weight / there for weight in weights)
        return ReadDigit(self.candidates[index], digit, confidence, probabilities)

    def _skipping(self, indices: Iterable[int]) -> Iterator[tuple[int, float]]:
        """Each of the candidates, with the weight of all before it not being there."""
        weight = 1.0
        for index in indices:
            yield index, weight
            weight *= 1 - self.exists[index]
            if weight < NEGLIGIBLE:
                return

    def _absent(self, indices: Iterable[int]) -> float:
        return math.prod(1 - self.exists[index] for index in indices)

    def _apart(self, one: int, other: int) -> bool:
        return not self.same_ink[one][other]

    def _sum_from_the_right(self, index: int) -> None:
        arriving = {self.constraint.start: self._absent(range(index))}
        for other, skipped in self._skipping(range(index - 1, -1, -1)):
            if self._apart(other, index):
                for state, weight in self.reached[other].items():
                    arriving[state] = arriving.get(state, 0.0) + weight * skipped
        reached: dict[State, float] = {}
        for state, weight in arriving.items():
            for digit, probability in enumerate(self.digits[index]):
                after = self.constraint.step(state, digit)
                if after is not None:
                    reached[after] = reached.get(after, 0.0) + weight * self.exists[index] * probability
        self.arriving.append(arriving)
        self.reached.append(reached)

    def _sums_to_the_left(self) -> list[dict[State, float]]:
        self.leaving = [{} for _ in self.candidates]
        self.with_own: list[dict[State, float]] = [{} for _ in self.candidates]
        for index in range(len(self.candidates) - 1, -1, -1):
            self.leaving[index] = {state: self._following(index, state) for state in self.reached[index]}
            for state in self.arriving[index]:
                afters = (
                    (self.constraint.step(state, digit), probability)
                    for digit, probability in enumerate(self.digits[index])
                )
                weights = (
                    probability * self.leaving[index].get(after, 0.0)
                    for after, probability in afters
                    if after is not None
                )
                self.with_own[index][state] = self.exists[index] * sum(weights)
        return self.leaving

    def _following(self, index: int, state: State) -> float:
        """The weight of all readings of what stands left of a candidate, -1 for the whole line, from a state on."""
        count = len(self.candidates)
        total = self._absent(range(index + 1, count)) if self.constraint.accepts(state) else 0.0
        for other, skipped in self._skipping(range(index + 1, count)):
            if index < 0 or self._apart(index, other):
                total += skipped * self.with_own[other].get(state, 0.0)
        return total

    def _likeliest(self) -> tuple[float, list[tuple[int, int]]]:
        """The reading to give, its candidates and digits from left to right, and its weight.

        It is the heaviest way through the lattice where each candidate's digits weigh as parts of its likeliest one:
        a digit that is surely there is in it, however unsure which it is.
        """
        start = self.constraint.start
        # For each candidate and state: the weight of the best way there, the candidate and state before, the digit.
        ways: list[dict[State, tuple[float, int, State, int]]] = []
        best: tuple[float, int, State] = (0.0, -1, start)
        if self.constraint.accepts(start):
            best = (self._absent(range(len(self.candidates))), -1, start)
        for index in range(len(self.candidates)):
            before: dict[State, tuple[float, int]] = {start: (self._absent(range(index)), -1)}
            for other, skipped in self._skipping(range(index - 1, -1, -1)):
                if self._apart(other, index):
                    for state, (weight, *_) in ways[other].items():
                        if weight * skipped > before.get(state, (0.0, -1))[0]:
                            before[state] = (weight * skipped, other)
            here: dict[State, tuple[float, int, State, int]] = {}
            for state, (weight, other) in before.items():
                for digit, probability in enumerate(self.digits[index]):
                    after = self.constraint.step(state, digit)
                    gain = weight * self.exists[index] * probability / max(self.digits[index])
                    if after is not None and gain > here.get(after, (0.0,))[0]:
                        here[after] = (gain, other, state, digit)
            ways.append(here)
            absent = self._absent(range(index + 1, len(self.candidates)))
            for state, (weight, *_) in here.items():
                if self.constraint.accepts(state) and weight * absent > best[0]:
                    best = (weight * absent, index, state)
        heaviest, index, state = best
        path = []
        while index >= 0:
            _, other, earlier, digit = ways[index][state]
            path.append((index, digit))
            heaviest *= max(self.digits[index])
            index, state = other, earlier
        return heaviest, path
