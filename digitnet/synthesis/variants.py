"""The variants of the digits: the different ways in which people write the same digit, as strokes.

The table is `variants.toml`. A variant is a few strokes, and a stroke is a curve through control points. Letters and
signs, which are no digits, stand in `letters.toml`.
"""

import bisect
import functools
import itertools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.errors import DataError
from digitnet.reading.answer import NOT_A_DIGIT

Points = npt.NDArray[np.float64]  # (N, 2): x to the right, y down

TABLE = "variants.toml"
LETTERS = "letters.toml"
LETTERS_WIDEST_PEN = 0.2
BOX = np.array([60.0, 100.0])  # width and height of the box in which the table gives its points
STEP = 3.0  # units of the box between two points of a dense curve
SOFTEST = 4  # corners are rounded by a mean over up to this many dense points on either side


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to write a digit.

    Attributes:
        index: its place in `variants()`.
        label: the digit, or `NOT_A_DIGIT`.
        name: such as "mirrored P".
        weight: how often it is drawn, in proportion to the other variants of its digit.
        low, high: the range of each control point, (K, 2) each, of all strokes one after the other.
        starts: the first dense point of each stroke, and in the end the number of all dense points.
        curves: for each softness 0 to `SOFTEST`, the matrix (M, K) that makes dense points of control points.
        widest_pen: in sizes of the digit; wider pens would fill its loops.
        pen: the width of the stroke in heights, from and to; None for the hand's own pen.
        turned: degrees by which it is turned to either side, from and to; None for a digit that stands.
        unusual: whether the rules of shape (see `stroke_hands.written`) are left out, since people write it so.
    """

    index: int
    label: int
    name: str
    weight: float
    low: Points
    high: Points
    starts: tuple[int, ...]
    curves: tuple[Points, ...]
    widest_pen: float
    pen: tuple[float, float] | None = None
    turned: tuple[float, float] | None = None
    unusual: bool = False

    @property
    def kind(self) -> str:
        """The digit and the name, such as "9 mirrored P"; no two variants share it."""
        return f"{self.label} {self.name}"


@functools.cache
def variants() -> tuple[Variant, ...]:
    """All variants of the table, digit by digit."""
    return parsed(resources.files("digitnet.synthesis").joinpath(TABLE).read_text(encoding="utf-8"))


@functools.cache
def letters() -> tuple[Variant, ...]:
    """All letters and signs."""
    rows = tomllib.loads(resources.files("digitnet.synthesis").joinpath(LETTERS).read_text(encoding="utf-8"))["letters"]
    return tuple(
        _variant(index, NOT_A_DIGIT, name, LETTERS_WIDEST_PEN, weight=1, strokes=strokes)
        for index, (name, strokes) in enumerate(rows.items())
    )


@dataclass(frozen=True, eq=False)
class Choices:
    """The variants that may be drawn, for each digit, with the running sums of their weights."""

    variants: tuple[tuple[Variant, ...], ...]
    sums: tuple[tuple[float, ...], ...]

    def drawn(self, label: int, rng: Generator) -> Variant:
        """A random variant of a digit, by weight."""
        sums = self.sums[label]
        return self.variants[label][bisect.bisect_right(sums, rng.random() * sums[-1], hi=len(sums) - 1)]


@functools.cache
def choices() -> Choices:
    """All variants of the table."""
    of_digits = tuple(tuple(variant for variant in variants() if variant.label == label) for label in range(10))
    return Choices(of_digits, tuple(tuple(itertools.accumulate(v.weight for v in each)) for each in of_digits))


def parsed(text: str) -> tuple[Variant, ...]:
    """The variants of a table such as `variants.toml`.

    Raises DataError where it is not TOML, a digit is missing, or a variant is wrong.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{TABLE}: is not TOML ({error}); install the package again") from error
    found: list[Variant] = []
    if sorted(table) != [str(label) for label in range(10)]:
        raise DataError(f"{TABLE}: has the tables {sorted(table)}; it needs those of the digits 0 to 9 and no other")
    for label in range(10):
        try:
            widest, rows = float(table[str(label)]["widest_pen"]), table[str(label)]["variants"].items()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{TABLE}, digit {label}: give widest_pen and a table of variants ({error!r})") from error
        if not rows:
            raise DataError(f"{TABLE}, digit {label}: has no variants; give at least one")
        for name, row in rows:
            try:
                found.append(_variant(len(found), label, name, widest, **row))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{TABLE}, digit {label}, {name!r}: {error}; give a weight above 0 and strokes such as "
                    "'30 0!, 30~34 100 | 10 50, 50 50'"
                ) from error
    return tuple(found)


def _variant(
    index: int,
    label: int,
    name: str,
    digit_widest_pen: float,
    *,
    weight: float,
    strokes: str,
    widest_pen: float | None = None,
    pen: Sequence[float] | None = None,
    turned: Sequence[float] | None = None,
    unusual: bool = False,
) -> Variant:
    if not weight > 0:
        raise ValueError(f"has the weight {weight}")
    lows, highs, corners = zip(*(_stroke(stroke) for stroke in strokes.split(" | ")), strict=True)
    low, high = np.vstack(lows), np.vstack(highs)
    counts = [len(stroke) for stroke in lows]
    curves = [_curve((a + b) / 2, stroke_corners) for a, b, stroke_corners in zip(lows, highs, corners, strict=True)]
    return Variant(
        index,
        label,
        name,
        float(weight),
        low,
        high,
        tuple(itertools.accumulate((len(curve) for curve in curves), initial=0)),
        tuple(_side_by_side([_softened(curve, reach) for curve in curves], counts) for reach in range(SOFTEST + 1)),
        digit_widest_pen if widest_pen is None else float(widest_pen),
        _range(pen),
        _range(turned),
        unusual,
    )


def _range(ends: Sequence[float] | None) -> tuple[float, float] | None:
    if ends is None:
        return None
    low, high = ends
    return float(low), float(high)


def _stroke(text: str) -> tuple[Points, Points, list[bool]]:
    """The lowest and the highest control points of a stroke, (K, 2) each, and which of them are corners."""
    words = text.split(", ")
    if len(words) < 2:
        raise ValueError(f"the stroke {text!r} has fewer than two points")
    ends: list[Any] = []
    for word in words:
        numbers = word.removesuffix("!").split(" ")
        if len(numbers) != 2:
            raise ValueError(f"the point {word!r} is not two numbers")
        ends.append([[float(end) for end in (number.split("~") * 2)[:2]] for number in numbers])
    points = np.array(ends)  # (K, 2 axes, low and high)
    return points[:, :, 0], points[:, :, 1], [word.endswith("!") for word in words]


def _curve(points: Points, corners: Sequence[bool]) -> Points:
    """The matrix (M, K) that makes dense points of the control points of one stroke.

    The curve is that of Catmull and Rom (1974), which is linear in its control points. It turns sharply at corners.
    `points` (K, 2) only say how long the pieces are.
    """
    basis = np.eye(len(points))
    pieces: list[Points] = []
    start = 0
    for end in range(1, len(points)):
        if not corners[end] and end < len(points) - 1:
            continue
        knots = basis[start : end + 1]
        framed = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
        for index, (a, b, c, d) in enumerate(zip(framed, framed[1:], framed[2:], framed[3:], strict=False), start):
            length = np.hypot(*(points[index + 1] - points[index]))
            t = np.linspace(0, 1, max(2, round(length / STEP)), endpoint=False)[:, None]
            pieces.append(
                (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3) / 2
            )
        start = end
    return np.vstack([*pieces, basis[-1:]])


def _softened(curve: Points, reach: int) -> Points:
    """The matrix of a stroke with rounded corners: each point is a mean along the stroke. Its ends stay."""
    if not reach or len(curve) <= 2 * reach + 2:
        return curve
    framed = np.pad(curve, ((reach, reach), (0, 0)), mode="edge")
    soft = np.lib.stride_tricks.sliding_window_view(framed, 2 * reach + 1, axis=0).mean(2)
    soft[[0, -1]] = curve[[0, -1]]
    return np.asarray(soft)


def _side_by_side(curves: Sequence[Points], counts: Sequence[int]) -> Points:
    """One matrix for all strokes, with the strokes' own matrices along its diagonal."""
    whole = np.zeros((sum(map(len, curves)), sum(counts)))
    row = column = 0
    for curve, count in zip(curves, counts, strict=True):
        whole[row : row + len(curve), column : column + count] = curve
        row, column = row + len(curve), column + count
    return whole
