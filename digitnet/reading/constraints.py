r"""What a user knows of a number before it is read: its length, its pattern, its check digit.

Each `Constraint` is a finite automaton over the digits of a number, from the last digit to the first, because check
digits are counted from the right. The reader weighs all readings of a line that the automaton allows.
"""

import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from digitnet.errors import UsageError

MAX_STATES = 5000  # of an automaton: the time for a line grows with its states
LONGEST = 1280  # digits; no line of a page has more, since a page is read at 1280 pixels
ANY = frozenset(range(10))

State = Any  # hashable


@dataclass(frozen=True, eq=False)
class Constraint:
    """Which numbers are allowed, as an automaton that takes digits from the last to the first.

    A number is allowed where arrows with its digits lead from a start to an accepting state. There is exactly one such
    path for each allowed number, so that a sum over paths counts each number once.

    Attributes:
        name: what a message calls it, such as "length 8".
        starts: (S,) whether a path may start in each state.
        accepting: (S,) whether a path may end there.
        arrows: (E, 3) state, digit, next state; sorted by the next state.
    """

    name: str
    starts: npt.NDArray[np.bool_]
    accepting: npt.NDArray[np.bool_]
    arrows: npt.NDArray[np.intp]


@lru_cache(maxsize=32)  # all pages of a run have the same one, and the larger ones take a third of a second to make
def constrained(length: int | None = None, pattern: str | None = None, check: str | None = None) -> Constraint | None:
    r"""All that is known of each number, None where nothing is.

    Args:
        length: exactly so many digits.
        pattern: such as `\d{3}-\d{4}`, `19\d\d` or `[0-3]\d/\d+`. `\d` and `.` stand for any digit and `[...]` for
            some; `?`, `*`, `+`, `{n}` and `{m,n}` repeat as in regular expressions. Signs between digits, such as `-`,
            `/`, `,`, `\.` and blanks, are not read, and therefore ignored.
        check: a name in `CHECKS`.

    Raises UsageError where one of them makes no sense, or where checking them would take too long.
    """
    known: list[Constraint] = []
    if length is not None:
        if length < 1:
            raise UsageError(f"a length of {length} is too short; give the number of digits, such as 8")
        known.append(_of_segments(f"length {length}", [(ANY, length, length)]))
    if pattern is not None:
        known.append(_of_pattern(pattern))
    if check is not None:
        if check not in CHECKS:
            raise UsageError(f"no check is called {check!r}; use one of {', '.join(CHECKS)}")
        known.append(replace(CHECKS[check](), name=f"check {check}"))
    return reduce(_all_of, known) if known else None


class _TooManyStatesError(Exception):
    pass


def _automaton(
    name: str,
    starts: Sequence[Hashable],
    step: Callable[[State, int], Iterable[State]],
    accepts: Callable[[State], bool],
) -> Constraint:
    """The constraint with all states that `step` reaches from the `starts`.

    Raises _TooManyStatesError beyond `MAX_STATES`.
    """
    numbers = {state: number for number, state in enumerate(starts)}
    states = list(starts)
    arrows = []
    for state in states:  # grows meanwhile
        if len(states) > MAX_STATES:
            raise _TooManyStatesError
        for digit in range(10):
            for following in step(state, digit):
                number = numbers.setdefault(following, len(states))
                if number == len(states):
                    states.append(following)
                arrows.append((numbers[state], digit, number))
    start = np.arange(len(states)) < len(starts)
    accepting = np.array([accepts(state) for state in states], np.bool_)
    return Constraint(name, start, accepting, _sorted(np.array(arrows, np.intp).reshape(-1, 3)))


def _sorted(arrows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return arrows[np.lexsort((arrows[:, 1], arrows[:, 0], arrows[:, 2]))]


def _reversed(one: Constraint) -> Constraint:
    """The same numbers with their digits in the opposite order."""
    return replace(one, starts=one.accepting, accepting=one.starts, arrows=_sorted(one.arrows[:, ::-1]))


def _all_of(one: Constraint, other: Constraint) -> Constraint:
    """The numbers that both allow."""
    name = f"{one.name}, {other.name}"
    one_steps, other_steps = _steps(one), _steps(other)

    def step(state: tuple[int, int], digit: int) -> Iterator[tuple[int, int]]:
        return itertools.product(one_steps.get((state[0], digit), ()), other_steps.get((state[1], digit), ()))

    starts = list(itertools.product(*(np.flatnonzero(each.starts).tolist() for each in (one, other))))
    try:
        both = _automaton(name, starts, step, lambda state: bool(one.accepting[state[0]] and other.accepting[state[1]]))
    except _TooManyStatesError:
        raise UsageError(f"{name}: too much to check together; leave one of them out, or make it simpler") from None
    # Dead ends are left out: states that no path reaches from the accepting states backwards.
    back = _reversed(both)
    steps, ends = _steps(back), np.flatnonzero(back.starts).tolist()
    return _reversed(
        _automaton(
            name, ends, lambda state, digit: steps.get((state, digit), ()), lambda state: bool(back.accepting[state])
        )
    )


def _steps(constraint: Constraint) -> dict[tuple[int, int], list[int]]:
    """The next states for each state and digit."""
    steps: dict[tuple[int, int], list[int]] = {}
    for state, digit, following in constraint.arrows.tolist():
        steps.setdefault((state, digit), []).append(following)
    return steps


def _any_of(one: Constraint, other: Constraint) -> Constraint:
    """The numbers that either allows; there must be none that both allow."""
    return Constraint(
        one.name,
        np.concatenate([one.starts, other.starts]),
        np.concatenate([one.accepting, other.accepting]),
        np.concatenate([one.arrows, other.arrows + np.array([len(one.starts), 0, len(one.starts)])]),
    )


ANY_NUMBER = _automaton("any number", [0], lambda state, _: [state], lambda _: True)


def _checksum(adds: Sequence[Sequence[int]], modulus: int, length: int | None = None) -> Constraint:
    """Numbers whose weighted digits add up to a multiple of `modulus`.

    Args:
        adds: what each of the ten digits adds, for each place from the right; they repeat.
        length: in digits; None for any length from 2, where the places alternate between two rows of `adds`.
    """

    def step(state: tuple[int, int], digit: int) -> list[tuple[int, int]]:
        place, total = state
        if place == length:
            return []
        # Without a length only the place's parity matters, and whether there are two digits.
        following = 2 if length is None and place == 3 else place + 1
        return [(following, (total + adds[place % len(adds)][digit]) % modulus)]

    def accepts(state: tuple[int, int]) -> bool:
        place, total = state
        return total == 0 and (place >= 2 if length is None else place == length)

    return _automaton("", [(0, 0)], step, accepts)


def _mod97() -> Constraint:
    """Numbers of two digits or more whose remainder by 97 is 1.

    From the first digit to the last this needs 97 remainders; from the last, also the powers of 10.
    """

    def step(state: tuple[int, int], digit: int) -> list[tuple[int, int]]:
        place, remainder = state
        return [(min(place + 1, 2), (10 * remainder + digit) % 97)]

    return _reversed(_automaton("", [(0, 0)], step, lambda state: state == (2, 1)))


TIMES_TABLE = [[factor * digit for digit in range(10)] for factor in range(11)]
ONE_AND_THREE = [TIMES_TABLE[1], TIMES_TABLE[3]]
CHECKS: dict[str, Callable[[], Constraint]] = {
    # ISO/IEC 7812-1: payment cards, IMEI. Every second digit is doubled, and the digits of the product are added.
    "luhn": lambda: _checksum([TIMES_TABLE[1], [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]], 10),
    "ean": lambda: reduce(_any_of, [_checksum(ONE_AND_THREE, 10, length) for length in (8, 12, 13)]),  # GS1, UPC-A too
    "isbn": lambda: _any_of(
        _checksum(ONE_AND_THREE, 10, 13),  # ISO 2108
        _checksum(TIMES_TABLE[1:], 11, 10),  # an X, which stands for ten, is not read
    ),
    "mod97": _mod97,  # ISO 7064, as IBANs use it, with digits only
}

TOKEN = re.compile(r"(?P<digits>\\d|\.|\d|\[\^?(?:\d(?:-\d)?)+\])|(?P<sign>\\[^\w\s]|[-/,:;'() ])", re.ASCII)
TIMES = re.compile(r"\?|\*|\+|\{(\d{1,9})(?:(,)(\d{0,9}))?\}", re.ASCII)

Segment = tuple[frozenset[int], int, int | None]  # digits; how often at least; at most, None for any number of times


def _of_pattern(text: str) -> Constraint:
    """The numbers that a pattern allows, see `constrained`."""
    segments = list(_segments(text))
    if not segments:
        raise UsageError(f"the pattern {text!r} has no digits; write such as \\d{{3}}-\\d{{4}}")
    name = f"pattern {text}"
    found = []
    # A pattern that needs 2^n states in one direction mostly needs few in the other: `\d{11}[0-4]\d*` 13 from the left.
    for backwards in (True, False):
        try:
            automaton = _of_segments(name, segments[::-1] if backwards else segments)
        except _TooManyStatesError:
            continue
        found.append(automaton if backwards else _reversed(automaton))
    if not found:
        raise UsageError(
            f"the pattern {text!r} can be met in too many ways to check; "
            "write how often a digit comes, as in \\d{3}, instead of *, + or {m,n}"
        )
    return min(found, key=lambda constraint: len(constraint.starts))


def _of_segments(name: str, segments: Sequence[Segment]) -> Constraint:
    """The automaton that takes the segments in their order.

    Each segment is laid out as slots, one for each digit: a slot may be optional, and may repeat. A state is the set of
    slots that may take the next digit, as the bits of a number (Rabin and Scott, 1959).

    Raises _TooManyStatesError.
    """
    slots = [
        (digits, time >= least, most is None and time == least)  # digits, optional, repeats
        for digits, least, most in segments
        for time in range(min(least, LONGEST) + 1 if most is None else min(most, LONGEST))
    ]
    if len(slots) > MAX_STATES:
        raise _TooManyStatesError
    takes = [sum(1 << place for place, slot in enumerate(slots) if digit in slot[0]) for digit in range(10)]
    optional, repeats = (sum(1 << place for place, slot in enumerate(slots) if slot[part]) for part in (1, 2))
    jumps = []  # (how far, from where): runs of 1, 2, 4, ... optional slots; one after the other they skip any run
    far = 1
    while optional:
        jumps.append((far, optional))
        optional &= optional >> far
        far *= 2

    def reached(places: int) -> int:
        for far, run in jumps:
            places |= (places & run) << far
        return places

    def step(places: int, digit: int) -> list[int]:
        taking = places & takes[digit]
        return [reached((taking & ~repeats) << 1 | taking & repeats)] if taking else []

    return _automaton(name, [reached(1)], step, lambda places: bool(places >> len(slots)))


def _segments(text: str) -> Iterator[Segment]:
    """Each digit or set of digits in a pattern, and how often it comes."""
    place, opened = 0, 0
    while place < len(text):
        token = TOKEN.match(text, place)
        if not token:
            raise UsageError(
                rf"the pattern {text!r} cannot be understood at {text[place:]!r}; write such as \d{{3}}-[0-4]\d"
            )
        times = TIMES.match(text, token.end())
        place = times.end() if times else token.end()
        if token["sign"]:
            if times:
                raise UsageError(f"the pattern {text!r} repeats a sign ({token[0]}{times[0]}); repeat digits only")
            opened += {"(": 1, ")": -1}.get(token[0], 0)
            if opened < 0:
                break
            continue
        try:
            digits = frozenset(digit for digit in range(10) if re.fullmatch(token[0], str(digit)))
        except re.error as error:
            raise UsageError(f"the pattern {text!r} has {token[0]} ({error}); write such as [0-3]") from error
        if not digits:
            raise UsageError(f"the pattern {text!r} has {token[0]}, which no digit matches; leave a digit in it")
        yield digits, *_times(times, text)
    if opened:
        raise UsageError(rf"the pattern {text!r} has a bracket without its partner; close it, or write \( or \)")


def _times(times: re.Match[str] | None, pattern: str) -> tuple[int, int | None]:
    if not times:
        return 1, 1
    if times[0] in ("?", "*", "+"):
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[times[0]]
    least = int(times[1])
    most = (int(times[3]) if times[3] else None) if times[2] else least
    if most is not None and most < least:
        raise UsageError(f"the pattern {pattern!r} repeats {times[0]}, which is no range; write such as {{2,4}}")
    return least, most
