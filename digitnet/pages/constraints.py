r"""What a user knows of a number before it is read: its length, its pattern, its check digit.

Each `Constraint` is an automaton that takes a number's digits from the last to the first (that is how check digits are
counted) and says in the end whether the number may be. So a reader can weigh all readings of a line at once, and drops
those that cannot be.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from digitnet.errors import UsageError

State = Any  # hashable, and as each constraint likes it
ANY = frozenset(range(10))
MANY = 10**6  # more digits than a line has, for a pattern's + and *


class Constraint(Protocol):
    """An automaton over the digits of a number, from the last to the first."""

    @property
    def name(self) -> str:
        """What a message calls it, as in "length 8"."""

    @property
    def start(self) -> State:
        """The state before any digit."""

    def step(self, state: State, digit: int) -> State | None:
        """The state after one more digit to the left; None where no number can go on so."""

    def accepts(self, state: State) -> bool:
        """Whether a number may begin here."""


@dataclass(frozen=True)
class Length:
    """Exactly `digits` digits."""

    digits: int
    start: int = 0

    @property
    def name(self) -> str:
        """As in a message."""
        return f"length {self.digits}"

    def step(self, state: State, digit: int) -> State | None:
        """See `Constraint`."""
        return state + 1 if state < self.digits else None

    def accepts(self, state: State) -> bool:
        """See `Constraint`."""
        return bool(state == self.digits)


class Pattern:
    r"""Digits as a pattern has them: `\d{3}-\d{4}`, `19\d\d`, `[0-3]\d/\d+`.

    `\d` and `.` stand for any digit and `[...]` for some; `?`, `*`, `+`, `{n}` and `{m,n}` repeat as in regular
    expressions. Signs between digits, such as `-`, `/`, `,`, `\.` and blanks, are not read, and so not asked for.

    Raises UsageError where the pattern cannot be understood.
    """

    def __init__(self, text: str) -> None:
        self.name = f"pattern {text}"
        self._parts = list(_pattern_parts(text))[::-1]
        if not self._parts:
            raise UsageError(f"the pattern {text!r} has no digits; write such as \\d{{3}}-\\d{{4}}")
        self.start: State = self._reached({(0, 0)})

    def step(self, state: State, digit: int) -> State | None:
        """See `Constraint`; a state is all places (part, times) where the pattern may be."""
        after = set()
        for part, times in state:
            if part < len(self._parts):
                digits, _, most = self._parts[part]
                if digit in digits and times < most:
                    after.add((part, times + 1))
        return self._reached(after) or None

    def accepts(self, state: State) -> bool:
        """See `Constraint`."""
        return any(part == len(self._parts) for part, _ in state)

    def _reached(self, places: set[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        """The places and those behind them that need no digit more."""
        waiting, reached = list(places), set(places)
        while waiting:
            part, times = waiting.pop()
            following = (part + 1, 0)
            if part < len(self._parts) and times >= self._parts[part][1] and following not in reached:
                reached.add(following)
                waiting.append(following)
        # Beyond the least number of times, how often does not matter where there is no most.
        return frozenset(
            (part, min(times, self._least(part)) if self._endless(part) else times) for part, times in reached
        )

    def _least(self, part: int) -> int:
        return self._parts[part][1]

    def _endless(self, part: int) -> bool:
        return part < len(self._parts) and self._parts[part][2] >= MANY


@dataclass(frozen=True)
class Checksum:
    """A number whose weighted digits add up to a remainder.

    Attributes:
        name: as a message has it.
        lengths: how many digits it may have; empty for any number.
        modulus, remainder: of the sum.
        weigh: what a digit adds, for the digit and its place from the right, from 0.
    """

    name: str
    lengths: frozenset[int]
    modulus: int
    remainder: int
    weigh: Callable[[int, int], int]
    start: State = (0, 0)

    def step(self, state: State, digit: int) -> State | None:
        """See `Constraint`; a state is the number of digits and their sum."""
        place, total = state
        if self.lengths and place >= max(self.lengths):
            return None
        return place + 1, (total + self.weigh(digit, place)) % self.modulus

    def accepts(self, state: State) -> bool:
        """See `Constraint`."""
        place, total = state
        return place > 1 and (not self.lengths or place in self.lengths) and total == self.remainder


@dataclass(frozen=True)
class All:
    """Several constraints at once; with none, any number."""

    constraints: tuple[Constraint, ...] = ()

    @property
    def name(self) -> str:
        """As in a message."""
        return ", ".join(constraint.name for constraint in self.constraints)

    @property
    def start(self) -> State:
        """See `Constraint`."""
        return tuple(constraint.start for constraint in self.constraints)

    def step(self, state: State, digit: int) -> State | None:
        """See `Constraint`."""
        after = tuple(one.step(before, digit) for one, before in zip(self.constraints, state, strict=True))
        return None if any(one is None for one in after) else after

    def accepts(self, state: State) -> bool:
        """See `Constraint`."""
        return all(one.accepts(before) for one, before in zip(self.constraints, state, strict=True))


def _luhn(digit: int, place: int) -> int:
    doubled = 2 * digit
    return digit if place % 2 == 0 else doubled - 9 * (doubled > 9)


def _one_and_three(digit: int, place: int) -> int:
    return digit * (1 if place % 2 == 0 else 3)


def _by_place(digit: int, place: int) -> int:
    return digit * (place + 1)


def _decimal(digit: int, place: int) -> int:
    return digit * pow(10, place, 97)


CHECKS: dict[str, tuple[Checksum, ...]] = {
    "luhn": (Checksum("check luhn", frozenset(), 10, 0, _luhn),),  # ISO/IEC 7812-1: payment cards, IMEI
    "ean": (Checksum("check ean", frozenset({8, 12, 13}), 10, 0, _one_and_three),),  # GS1: EAN-8, UPC-A, EAN-13
    "isbn": (
        Checksum("check isbn", frozenset({13}), 10, 0, _one_and_three),  # ISO 2108
        Checksum("check isbn", frozenset({10}), 11, 0, _by_place),  # an X, which stands for ten, is not read
    ),
    "mod97": (Checksum("check mod97", frozenset(), 97, 1, _decimal),),  # ISO 7064, as IBANs have it, all in digits
}


@dataclass(frozen=True)
class Either:
    """At least one of several constraints that have the same name."""

    constraints: tuple[Constraint, ...]

    @property
    def name(self) -> str:
        """As in a message."""
        return self.constraints[0].name

    @property
    def start(self) -> State:
        """See `Constraint`."""
        return tuple(constraint.start for constraint in self.constraints)

    def step(self, state: State, digit: int) -> State | None:
        """See `Constraint`; a state of None is that of a constraint which can no longer be met."""
        pairs = zip(self.constraints, state, strict=True)
        after = tuple(None if before is None else one.step(before, digit) for one, before in pairs)
        return None if all(one is None for one in after) else after

    def accepts(self, state: State) -> bool:
        """See `Constraint`."""
        pairs = zip(self.constraints, state, strict=True)
        return any(before is not None and one.accepts(before) for one, before in pairs)


def constrained(length: int | None = None, pattern: str | None = None, check: str | None = None) -> All:
    """All that is known of each number.

    Raises UsageError where one of them makes no sense.
    """
    found: list[Constraint] = []
    if length is not None:
        if length < 1:
            raise UsageError(f"a length of {length} is none; give the number of digits, such as 8")
        found.append(Length(length))
    if pattern is not None:
        found.append(Pattern(pattern))
    if check is not None:
        if check not in CHECKS:
            raise UsageError(f"no check is called {check!r}; use one of {', '.join(CHECKS)}")
        found.append(Either(CHECKS[check]))
    return All(tuple(found))


def satisfies(constraint: Constraint, digits: Iterable[int]) -> bool:
    """Whether a number, its digits from the first to the last, may be."""
    state: State | None = constraint.start
    for digit in list(digits)[::-1]:
        state = None if state is None else constraint.step(state, digit)
    return state is not None and constraint.accepts(state)


TOKEN = re.compile(
    r"(?P<any>\\d|\.)|(?P<digit>\d)|\[(?P<negated>\^?)(?P<some>[\d-]+)\]|(?P<sign>\\[^\w\s]|[-/,:;'() ])",
)
TIMES = re.compile(r"\?|\*|\+|\{(\d+)(?:(,)(\d*))?\}")


def _pattern_parts(text: str) -> Iterable[tuple[frozenset[int], int, int]]:
    """Each part of a pattern: which digits, and how often at least and at most."""
    place = 0
    while place < len(text):
        token = TOKEN.match(text, place)
        if not token:
            raise UsageError(
                rf"the pattern {text!r} cannot be understood at {text[place:]!r}; write such as \d{{3}}-\d{{4}}"
            )
        times = TIMES.match(text, token.end())
        place = times.end() if times else token.end()
        if token["sign"]:
            if times:
                raise UsageError(f"the pattern {text!r} repeats a sign ({token[0]}{times[0]}); repeat digits only")
            continue
        if token["any"]:
            digits = ANY
        elif token["digit"]:
            digits = frozenset({int(token["digit"])})
        else:
            digits = _set_of_digits(token["some"], text)
            digits = ANY - digits if token["negated"] else digits
            if not digits:
                raise UsageError(f"the pattern {text!r} has {token[0]}, which no digit is")
        yield digits, *_times(times, text)


def _set_of_digits(text: str, pattern: str) -> frozenset[int]:
    """Of what stands between brackets: 0-3, 579."""
    digits: set[int] = set()
    falling = False
    for first, last in re.findall(r"(\d)(?:-(\d))?", text):
        digits |= set(range(int(first), int(last or first) + 1))
        falling = falling or (bool(last) and last < first)
    if not digits or falling or re.sub(r"\d-\d|\d", "", text):
        raise UsageError(f"the pattern {pattern!r} has [{text}], which is no set of digits; write such as [0-3]")
    return frozenset(digits)


def _times(times: re.Match[str] | None, pattern: str) -> tuple[int, int]:
    if not times:
        return 1, 1
    if times[0] in ("?", "*", "+"):
        return {"?": (0, 1), "*": (0, MANY), "+": (1, MANY)}[times[0]]
    least = int(times[1])
    most = (int(times[3]) if times[3] else MANY) if times[2] else least
    if not least <= most:
        raise UsageError(f"the pattern {pattern!r} repeats {times[0]}, which is no range; write such as {{2,4}}")
    return least, most
