"""Columns of scores to digits: which digits a line shows, where, and how likely each is.

The line reader gives each column of a strip the probabilities of the ten digits and of none. A path names one of these
for each column; digits in neighbouring columns are one digit. This is CTC (Graves et al., 2006), but for one thing: a
column of none stands between any two digits, not only between equal ones. Otherwise a 4 that is much like a 6 would be
read as both, "64". What is known of a number is an automaton (`constraints`), which takes a step with each digit. So a
state is a state of the automaton together with the digit that the column before shows, and all paths that the automaton
allows are weighed together: the likeliest path (Viterbi, 1967) is the reading, and forward and backward sums (Baum et
al., 1970) say how likely each of its digits is. DigitNet's voice enters where a digit starts.

Columns are taken from the right to the left, as constraints take digits.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.reading.alphabet import CLASSES
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.constraints import ANY_NUMBER, Constraint

NONE = NOT_A_DIGIT  # in a column
SURELY_NONE = np.log(0.9995)  # neighbouring columns without a digit, each surer than this, are weighed as one
LEAST = 1e-9  # probability of a digit in a column, since a check digit may ask for it all the same
WORK = 4_000_000  # states of all columns and lines that are weighed at once

Numbers = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ReadDigit:
    """A digit of a line.

    Attributes:
        digit: 0 to 9.
        first, last: the columns in which it was seen.
        left, right: the columns that belong to it, up to the middle of the gap to its neighbours.
        probabilities: (11,) of the ten digits and of none there; they add up to 1.
    """

    digit: int
    first: int
    last: int
    left: float
    right: float
    probabilities: Numbers

    @property
    def confidence(self) -> float:
        """The probability that this digit and no other stands there."""
        return float(self.probabilities[self.digit])


@dataclass(frozen=True, eq=False)
class ReadLine:
    """A line read.

    Attributes:
        digits: from left to right.
        confidence: the probability of exactly these digits among all that the constraint allows.
        anywhere: (11,) of the ten digits and of none, for one digit anywhere in the line.
        log_weight: the logarithm of the sum of all paths that the constraint allows.
        is_allowed: whether the constraint allows any reading of so many columns.
    """

    digits: tuple[ReadDigit, ...]
    confidence: float
    anywhere: Numbers
    log_weight: float = -math.inf
    is_allowed: bool = True


def of_digits(logits: Scores) -> Numbers:
    """Log-probabilities (..., 11) of the ten digits and of none in each column, from logits (..., 22)."""
    if logits.shape[-1] != CLASSES:
        raise ValueError(f"{logits.shape[-1]} classes instead of {CLASSES}")
    scaled = logits.astype(np.float64)
    shares = np.exp(scaled - scaled.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    eleven = np.concatenate([shares[..., :NONE], shares[..., NONE:].sum(-1, keepdims=True)], -1)
    return np.asarray(np.log(np.maximum(eleven, LEAST)))


def decode(
    lines: Sequence[Numbers], voices: Sequence[Numbers] | None = None, constraint: Constraint | None = None
) -> list[ReadLine]:
    """The likeliest reading of each line that the constraint allows.

    Args:
        lines: log-probabilities (T, 11) of each column, see `of_digits`.
        voices: (T, 10) of each line, what is added to the logarithm where a digit starts; None for nothing.
        constraint: which numbers each line may be; None for any.
    """
    automaton = constraint or ANY_NUMBER
    found: dict[int, ReadLine] = {}
    for batch in _batches(lines, len(automaton.starts)):
        read = _decoded(
            [lines[index] for index in batch], [voices[index] for index in batch] if voices else None, automaton
        )
        found.update(zip(batch, read, strict=True))
    return [found[index] for index in range(len(lines))]


def log_weights(lines: Sequence[Numbers], voices: Sequence[Numbers]) -> list[float]:
    """The logarithm of the sum of all paths of each line, whatever number they give; arguments as for `decode`."""
    found: dict[int, float] = {}
    for batch in _batches(lines, len(ANY_NUMBER.starts)):
        lattice, _ = _lattice([lines[index] for index in batch], [voices[index] for index in batch], ANY_NUMBER)
        found.update(zip(batch, lattice.forward()[2].tolist(), strict=True))
    return [found[index] for index in range(len(lines))]


def _batches(lines: Sequence[Numbers], states: int) -> Iterator[list[int]]:
    """The places of all lines, the shorter ones first, in batches of which each costs no more than `WORK`."""
    batch: list[int] = []
    for index in sorted(range(len(lines)), key=lambda index: len(lines[index])):
        if batch and (len(batch) + 1) * len(lines[index]) * states * (NONE + 1) > WORK:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class _Lattice:
    """The states of some lines, and how a column leads from one to another.

    Args:
        lines: N arrays (T, 11), as `decode` has them.
    """

    def __init__(self, lines: Sequence[Numbers], voices: Sequence[Numbers] | None, automaton: Constraint) -> None:
        self.lengths = [len(line) for line in lines]
        longest = max(self.lengths)
        columns = np.full((len(lines), longest, NONE + 1), -np.inf)
        columns[:, :, NONE] = 0.0  # what a line is too short for is surely empty
        starting = np.zeros((len(lines), longest, NONE))
        for index, line in enumerate(lines):
            columns[index, : len(line)] = line[::-1]
            if voices:
                starting[index, : len(line)] = voices[index][::-1]
        self.stay, self.none = columns[:, :, :NONE], columns[:, :, NONE]  # (N, T, 10), (N, T)
        self.start = self.stay + starting
        self.automaton = automaton
        arrows = automaton.arrows[np.lexsort((automaton.arrows[:, 1], automaton.arrows[:, 2]))]
        self.before, self.digit, self.after = arrows.T  # (E,) each
        places = self.after * NONE + self.digit
        self.firsts = np.flatnonzero(np.diff(places, prepend=-1))  # where the arrows of each place begin
        self.places = places[self.firsts]
        self.states = len(automaton.starts)
        self.by_source = np.argsort(self.before, kind="stable")  # the same arrows, by where they come from
        ordered = self.before[self.by_source]
        self.source_firsts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self.sources = ordered[self.source_firsts]
        self.of_digit = (self.digit[:, np.newaxis] == np.arange(NONE)).astype(np.float64)  # (E, 10)

    def likeliest(self) -> list[list[tuple[int, int, int]] | None]:
        """For each line the runs (digit, first, last) of its likeliest path, in columns; None where none is allowed."""
        count, columns = self.none.shape
        of_digit = np.full((columns + 1, count, self.states, NONE), -np.inf)
        of_none = np.full((columns + 1, count, self.states), -np.inf)
        of_none[0][:, self.automaton.starts] = 0.0
        for column in range(columns):
            digits, none = of_digit[column], of_none[column]
            begun = none[:, self.before] + self.start[:, column, self.digit]
            best = np.full((count, self.states * NONE), -np.inf)
            if len(self.firsts):
                best[:, self.places] = np.maximum.reduceat(begun, self.firsts, axis=1)
            stayed = digits + self.stay[:, column, np.newaxis, :]
            of_digit[column + 1] = np.maximum(stayed, best.reshape(stayed.shape))
            of_none[column + 1] = np.maximum(none, digits.max(2)) + self.none[:, column, np.newaxis]
        return [self._traced(index, of_digit[:, index], of_none[:, index]) for index in range(count)]

    def _traced(self, index: int, of_digit: Numbers, of_none: Numbers) -> list[tuple[int, int, int]] | None:
        """The runs of a line, from the left to the right, by going back from the end of its likeliest path."""
        accepting = self.automaton.accepting
        ends = np.where(accepting[:, np.newaxis], np.column_stack([of_digit[-1], of_none[-1]]), -np.inf)
        state, digit = divmod(int(ends.argmax()), NONE + 1)
        if ends[state, digit] == -np.inf:
            return None
        runs: list[tuple[int, int, int]] = []
        last = -1
        for column in range(len(of_none) - 2, -1, -1):
            if digit == NONE:
                digit = int(np.append(of_digit[column, state], of_none[column, state]).argmax())
                continue
            last = column if last < 0 else last
            sources = self.before[(self.after == state) & (self.digit == digit)]
            begun = of_none[column, sources] + self.start[index, column, digit]
            if of_digit[column, state, digit] + self.stay[index, column, digit] >= begun.max():
                continue
            length = self.lengths[index]
            runs.append((digit, length - 1 - last, length - 1 - column))
            state, digit, last = int(sources[begun.argmax()]), NONE, -1
        return runs

    def starts(self) -> tuple[Numbers, Numbers]:
        """The probability that each digit starts in each column, (N, T, 10), and the logarithm of all paths' sum (N,).

        Columns are as they were given: a digit starts in its rightmost column.
        """
        count, columns = self.none.shape
        stay, start, none = np.exp(self.stay), np.exp(self.start), np.exp(self.none)
        forward_digit, forward_none, total = self.forward()
        accepting = self.automaton.accepting.astype(np.float64)
        found = np.zeros((count, columns, NONE))
        back_digit = np.broadcast_to(accepting[:, np.newaxis], (count, self.states, NONE)).copy()
        back_none = np.broadcast_to(accepting, (count, self.states)).copy()
        for column in range(columns - 1, -1, -1):
            digits, nothing = forward_digit[column], forward_none[column]
            ahead = back_digit[:, self.after, self.digit] * start[:, column, self.digit]  # (N, E)
            by_arrow = nothing[:, self.before] * ahead
            by_digit = by_arrow @ self.of_digit  # (N, 10)
            stays, empties = back_digit * stay[:, column, np.newaxis], back_none * none[:, column, np.newaxis]
            whole = by_digit.sum(1) + (digits * stays).sum((1, 2))
            whole += ((digits.sum(2) + nothing) * empties).sum(1)
            found[:, column] = by_digit / np.maximum(whole, 1e-300)[:, np.newaxis]
            # What follows a digit: the same digit or none. What follows none: none or any digit that may start.
            begun = np.zeros((count, self.states))
            if len(self.source_firsts):
                begun[:, self.sources] = np.add.reduceat(ahead[:, self.by_source], self.source_firsts, axis=1)
            back_digit = stays + empties[:, :, np.newaxis]
            back_none = begun + empties
            scale = np.maximum(back_digit.sum((1, 2)) + back_none.sum(1), 1e-300)
            back_digit /= scale[:, np.newaxis, np.newaxis]
            back_none /= scale[:, np.newaxis]
        return self._upright(found), total

    def forward(self) -> tuple[Numbers, Numbers, Numbers]:
        """The sums of all paths to each state before each column, and the logarithm of all paths' sum (N,).

        The sums are (T + 1, N, S, 10) for the states that show a digit, (T + 1, N, S) for the others, scaled in each
        column.
        """
        count, columns = self.none.shape
        stay, start, none = np.exp(self.stay), np.exp(self.start), np.exp(self.none)
        forward_digit = np.zeros((columns + 1, count, self.states, NONE))
        forward_none = np.zeros((columns + 1, count, self.states))
        forward_none[0][:, self.automaton.starts] = 1.0
        total = np.zeros(count)
        for column in range(columns):
            digits, nothing = self._forward(
                forward_digit[column], forward_none[column], stay[:, column], start[:, column], none[:, column]
            )
            scale = np.maximum(digits.sum((1, 2)) + nothing.sum(1), 1e-300)
            forward_digit[column + 1] = digits / scale[:, np.newaxis, np.newaxis]
            forward_none[column + 1] = nothing / scale[:, np.newaxis]
            total += np.log(scale)
        accepting = self.automaton.accepting.astype(np.float64)
        end = forward_digit[-1].sum(2) @ accepting + forward_none[-1] @ accepting
        total += np.log(np.maximum(end, 1e-300))
        return forward_digit, forward_none, total

    def _forward(
        self, digits: Numbers, nothing: Numbers, stay: Numbers, start: Numbers, none: Numbers
    ) -> tuple[Numbers, Numbers]:
        whole = digits.sum(2) + nothing  # (N, S)
        begun = np.zeros((len(digits), self.states * NONE))
        if len(self.firsts):
            by_arrow = nothing[:, self.before] * start[:, self.digit]
            begun[:, self.places] = np.add.reduceat(by_arrow, self.firsts, axis=1)
        return digits * stay[:, np.newaxis] + begun.reshape(digits.shape), whole * none[:, np.newaxis]

    def of_texts(self, texts: Sequence[Sequence[int]]) -> Numbers:
        """The logarithms (N,) of the sums of all paths that give exactly these digits, each from left to right."""
        count, columns = self.none.shape
        most = max(map(len, texts))
        labels = np.zeros((count, most), np.intp)
        is_label = np.zeros((count, most), bool)
        for index, text in enumerate(texts):
            labels[index, : len(text)], is_label[index, : len(text)] = list(text)[::-1], True
        # (T, N, L) and (T, N, 1)
        stays, begins = (
            np.exp(np.take_along_axis(each, labels[:, np.newaxis, :], 2)).swapaxes(0, 1) * is_label
            for each in (self.stay, self.start)
        )
        nones = np.exp(self.none).T[:, :, np.newaxis]
        shown, empty = np.zeros((count, most)), np.zeros((count, most + 1))
        empty[:, 0] = 1.0
        total = np.zeros(count)
        for column in range(columns):
            stay, start = stays[column], begins[column]
            whole = empty.copy()
            whole[:, 1:] += shown
            shown = shown * stay + empty[:, :-1] * start
            empty = whole * nones[column]
            scale = np.maximum(shown.sum(1) + empty.sum(1), 1e-300)
            shown, empty = shown / scale[:, np.newaxis], empty / scale[:, np.newaxis]
            total += np.log(scale)
        ends = np.array([len(text) for text in texts])
        end = empty[np.arange(count), ends] + np.where(
            ends > 0, np.append(shown, np.zeros((count, 1)), 1)[np.arange(count), ends - 1], 0.0
        )
        return np.asarray(total + np.log(np.maximum(end, 1e-300)))

    def _upright(self, by_column: Numbers) -> Numbers:
        """Values (N, T, ...) of columns from the right to the left, in the order in which columns were given."""
        upright = np.zeros_like(by_column)
        for index, length in enumerate(self.lengths):
            upright[index, :length] = by_column[index, :length][::-1]
        return upright


def _lattice(
    lines: Sequence[Numbers], voices: Sequence[Numbers] | None, automaton: Constraint
) -> tuple[_Lattice, list[npt.NDArray[np.intp]]]:
    """The lattice of some lines whose surely empty columns are merged, and the columns that are left of each."""
    firsts = [_distinct_columns(line) for line in lines]
    shorter = [_merged(line, first) for line, first in zip(lines, firsts, strict=True)]
    heard = [voice[first] for voice, first in zip(voices, firsts, strict=True)] if voices else None
    return _Lattice(shorter, heard, automaton), firsts


def _decoded(lines: Sequence[Numbers], voices: Sequence[Numbers] | None, automaton: Constraint) -> list[ReadLine]:
    lattice, firsts = _lattice(lines, voices, automaton)
    paths = lattice.likeliest()
    starts, total = lattice.starts()
    logs = lattice.of_texts([[digit for digit, _, _ in runs or ()] for runs in paths])
    read = []
    shares, weights = (logs - total).tolist(), total.tolist()
    for line, first, runs, merged, log_share, log_weight in zip(
        lines, firsts, paths, starts, shares, weights, strict=True
    ):
        if runs is None:
            read.append(ReadLine((), 0.0, np.eye(NONE + 1)[NONE], is_allowed=False))
            continue
        by_column = np.zeros((len(line), NONE))
        by_column[first] = merged[: len(first)]
        runs = [(digit, int(first[begin]), int(first[end])) for digit, begin, end in runs]
        middles = [(begin + end) / 2 for _, begin, end in runs]
        edges = [0.0, *((one + other) / 2 for one, other in itertools.pairwise(middles)), float(len(line))]
        digits = tuple(
            ReadDigit(digit, begin, end, left, right, _of_window(by_column, left, right, digit))
            for (digit, begin, end), left, right in zip(runs, edges, edges[1:], strict=False)
        )
        anywhere = _of_window(by_column, 0, len(line), NONE)
        read.append(ReadLine(digits, min(1.0, float(np.exp(log_share))), anywhere, log_weight))
    return read


def _distinct_columns(line: Numbers) -> npt.NDArray[np.intp]:
    """The first of each run of columns that are surely empty, and all other columns of a line (T, 11)."""
    is_empty = line[:, NONE] > SURELY_NONE
    return np.flatnonzero(~(is_empty & np.append(False, is_empty[:-1])))


def _merged(line: Numbers, firsts: npt.NDArray[np.intp]) -> Numbers:
    """A line (T, 11) whose surely empty neighbours are one column: (K, 11), where each of the K begins at `firsts`."""
    merged = np.maximum.reduceat(line, firsts, axis=0)
    merged[:, NONE] = np.add.reduceat(line[:, NONE], firsts)
    return merged


def _of_window(starts: Numbers, left: float, right: float, digit: int) -> Numbers:
    """The probabilities (11,) of each digit and of none in a window of columns, from those of starts (T, 10).

    More than one start is expected where two digits may stand instead of one. This is a doubt of the digit.
    """
    expected = starts[int(np.ceil(left)) : int(np.ceil(right))].sum(0)
    eleven = np.append(expected, 0.0)
    more = expected.sum() - 1
    if more > 0:
        eleven[digit] = max(0.0, eleven[digit] - more)
    eleven[NONE] = max(0.0, 1 - eleven.sum())
    return np.asarray(eleven / eleven.sum())
