"""Hands that write digits stroke by stroke, with variants, pens and habits that MNIST and fonts lack.

A hand is drawn once with `random_stroke_hand`. Its digits then vary only a little, so a page looks like one person's.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.synthesis.paper import Array
from digitnet.synthesis.variants import BOX, SOFTEST, STEP, Points, Variant, choices

Pen = Literal["round", "flat", "pressure", "brush"]

TRIES = 8  # a digit that a slant makes unlike itself is written again, each time with less slant
MOST_POINTS = 24  # control points of a variant, for which a hand has habits
NARROWEST, BROADEST = 0.3, 1.4  # width of a digit in heights; beyond this it is hard to tell
THINNEST_SHAPE = 0.26  # spread of a digit across its longest direction, in spreads along it; a narrower 2 is like a 1
FINEST = 56  # pixels; lower digits are drawn larger and then reduced, because OpenCV's pens have whole widths
THINNEST = 0.8  # pixels; a thinner stroke would fade
WIDEST = 0.2  # of the digit's larger side
SUBPIXELS = 4  # OpenCV takes places in sixteenths of a pixel
BRUSH = np.array([0.5, 1, 1.2, 1, 0.3])  # width of a brush stroke from its start to its end


@dataclass(frozen=True, eq=False)
class StrokeHand:
    """How somebody writes digits.

    Attributes:
        variants: one or two for each digit.
        slant: degrees by which uprights lean to the right.
        turn: degrees by which whole digits are turned clockwise.
        stretch: factor of the width.
        unsteady: how much digits of one variant differ, in units of the box of `variants.toml`.
        habits: (2, 4, 4) shifts in x and y, in the same units, on a grid over the box; the same for all digits.
        places: (K, 2) in [0, 1]; where the hand puts control points that have a range.
        loops: exponents that make the right and the lower half of a digit larger or smaller.
        softness: how round its corners are, 0 to `SOFTEST`.
        apart: how far strokes miss the place where they should meet; 1 is usual.
        pen: width of the strokes in heights. A digit whose loops would close is written with a thinner pen.
        pen_kind: "flat" has a broad nib; "pressure" and "brush" change their width along a stroke.
        nib: degrees of a flat nib.
        pressure: (5,) factors of the width from the start of a stroke to its end.
        broken: how much of the ink is missing, as of a pencil on rough paper, in [0, 1).
    """

    variants: tuple[tuple[Variant, ...], ...]
    slant: float
    turn: float
    stretch: float
    unsteady: float
    habits: Points
    places: Points
    loops: Points
    softness: int
    apart: float
    pen: float
    pen_kind: Pen
    nib: float
    pressure: Points
    broken: float

    def variant(self, label: int, rng: Generator) -> Variant:
        """One of the hand's own variants of a digit; the first is the more usual one."""
        own = self.variants[label]
        return own[0] if len(own) == 1 or rng.random() < 0.7 else own[1]


def random_stroke_hand(rng: Generator) -> StrokeHand:
    """A random hand."""
    known = choices()
    own = []
    for label in range(10):
        first = known.drawn(label, rng)
        second = known.drawn(label, rng) if rng.random() < 0.3 else first
        own.append((first,) if first is second else (first, second))
    share = rng.random(8)
    kind: Pen = "round" if share[0] < 0.55 else "flat" if share[0] < 0.7 else "pressure" if share[0] < 0.9 else "brush"
    return StrokeHand(
        variants=tuple(own),
        slant=rng.normal(4, 11) if share[1] < 0.7 else rng.uniform(-25, 40),
        turn=float(rng.normal(0, 4)),
        stretch=math.exp(rng.normal(0.05, 0.22) if share[2] < 0.7 else rng.uniform(-0.5, 0.75)),
        unsteady=rng.uniform(0.4, 2.6),
        habits=rng.normal(0, rng.uniform(0.5, 6), (2, 4, 4)),
        places=rng.random((MOST_POINTS, 2)),
        loops=np.exp(rng.normal(0, (0.14, 0.25))),
        softness=0 if share[3] < 0.5 else int(share[4] * (SOFTEST + 1)),
        apart=1.0 if share[5] < 0.75 else 2.2,
        pen=math.exp(rng.uniform(math.log(0.024), math.log(0.24))),
        pen_kind=kind,
        nib=rng.uniform(-70, 20),
        pressure=rng.uniform(0.45, 1.15, 5),
        broken=rng.uniform(0.1, 0.25) if share[6] < 0.1 else 0.0,
    )


def written(variant: Variant, hand: StrokeHand, rng: Generator) -> list[Points]:
    """The strokes of a digit as dense points (N, 2): x from 0 to the right, y from 0 at the top to 1 at the bottom."""
    for attempt in range(TRIES):
        strokes = _written_upright(variant, hand, rng)
        strokes = _placed(variant, hand, strokes, (1 - attempt / TRIES) ** 2, rng)
        if _is_itself(variant, strokes):
            return strokes
    ends = variant.starts
    points = variant.curves[0] @ ((variant.low + variant.high) / 2)
    return _to_unit_height([points[start:end] for start, end in itertools.pairwise(ends)])


def inked(strokes: Sequence[Points], variant: Variant, hand: StrokeHand, height: float, rng: Generator) -> Array:
    """The strokes drawn with the hand's pen: ink (h, w) in [0, 1], cropped to the ink.

    Args:
        strokes: as `written` gives them.
        height: of the digit without the width of the pen, in pixels.
    """
    detail = max(1, math.ceil(FINEST / height))
    scale = height * detail
    right = max(float(stroke[:, 0].max()) for stroke in strokes)
    pen = max(_pen_width(variant, hand, right, rng) * scale, THINNEST * detail)
    margin = math.ceil(0.7 * pen) + 2
    size = math.ceil(scale + 2 * margin), math.ceil(right * scale + 2 * margin)
    size = size[0] + -size[0] % detail, size[1] + -size[1] % detail
    canvas = np.zeros(size, np.uint8)
    # A very wide brush would leave a blot instead of a line.
    _draw(canvas, [stroke * scale + margin for stroke in strokes], pen, hand, rng, blunt=variant.pen is not None)
    if detail > 1:
        reduced = size[1] // detail, size[0] // detail
        canvas = np.asarray(cv2.resize(canvas, reduced, interpolation=cv2.INTER_AREA), np.uint8)
    x, y, w, h = cv2.boundingRect((canvas > 60).view(np.uint8))
    ink = np.multiply(canvas[y : y + h, x : x + w], np.float32(1 / 255), dtype=np.float32)
    # A broken straight line would leave nothing of a 1's shape, so it is rare there.
    if hand.broken and (variant.label != 1 or rng.random() < 0.4):
        cells = int(rng.integers(14, 36))
        coarse = cv2.resize(rng.random((cells, cells), np.float32), (w, h))
        ink *= np.clip((coarse - hand.broken) * 6, 0.15, 1)
    return ink


def _written_upright(variant: Variant, hand: StrokeHand, rng: Generator) -> list[Points]:
    """The strokes in the box of the table, before slant and size."""
    count, unsteady = len(variant.low), hand.unsteady
    places = np.clip(hand.places[:count] + rng.normal(0, 0.08, (count, 2)), 0, 1)
    points = variant.low + (variant.high - variant.low) * places
    field = hand.habits + rng.normal(0, 0.7 * unsteady, (2, 4, 4))
    points += _shifts(field, points / BOX) + rng.normal(0, unsteady, (count, 2))
    dense = variant.curves[hand.softness] @ points
    inside = np.clip(dense / BOX, 0, 1)
    dense += (inside ** (hand.loops * np.exp(rng.normal(0, 0.04, 2))) - inside) * BOX
    ends = variant.starts
    several = len(ends) > 2
    strokes = []
    for start, end in itertools.pairwise(ends):
        stroke = dense[start:end]
        if several:
            middle = stroke.mean(0)
            own = rng.normal(0, 0.05 * hand.apart, 3)
            own_affine = _rotation(own[0]) * np.exp(own[1:])
            stroke = (stroke - middle) @ own_affine.T + middle + rng.normal(0, 1.8 * hand.apart, 2)
        strokes.append(_with_ends_moved(stroke, hand.apart * rng.normal(0, 2, 2)))
    return strokes


def _shifts(field: Points, places: Points) -> Points:
    """A smooth field of shifts (2, 4, 4), which is known on a grid over the unit box, at `places` (N, 2)."""
    at = np.clip(places, 0, 1) * 3
    cell = np.minimum(at.astype(np.intp), 2)
    (u, v), (column, row) = (at - cell).T, cell.T
    upper = field[:, row, column] * (1 - u) + field[:, row, column + 1] * u
    lower = field[:, row + 1, column] * (1 - u) + field[:, row + 1, column + 1] * u
    return np.asarray((upper * (1 - v) + lower * v).T)


def _with_ends_moved(stroke: Points, longer: Points) -> Points:
    """The stroke made longer at its start and at its end, in units of the box; below 0 it becomes shorter."""
    if len(stroke) < 12:
        return stroke
    first, last = np.clip(np.ceil(-longer / STEP), 0, 3).astype(int).tolist()
    parts = [stroke[first : len(stroke) - last]]
    if longer[0] > 0:
        parts.insert(0, _beyond(stroke[0], stroke[3], longer[0]))
    if longer[1] > 0:
        parts.append(_beyond(stroke[-1], stroke[-4], longer[1]))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _beyond(end: Points, before: Points, distance: float) -> Points:
    dx, dy = (end - before).tolist()
    return (end + np.array([dx, dy]) * (distance / max(math.hypot(dx, dy), 1e-6)))[np.newaxis]


def _placed(variant: Variant, hand: StrokeHand, strokes: list[Points], share: float, rng: Generator) -> list[Points]:
    """The strokes slanted, turned and stretched, each by a share of what the hand does, at a height of 1."""
    own = rng.normal(0, hand.unsteady, 3).tolist()
    slant = math.tan(math.radians(share * (hand.slant + own[0])))
    turn = math.radians(share * min(max(hand.turn + own[1], -14), 14))
    if variant.turned is not None:
        turn = math.radians(rng.uniform(*variant.turned)) * (1 if hand.turn > 0 else -1)
    stretch = math.exp(share * (math.log(hand.stretch) + 0.02 * own[2]))
    affine = _rotation(turn) @ np.array([[stretch, -slant], [0, 1]])
    return _to_unit_height([stroke @ affine.T for stroke in strokes])


def _to_unit_height(strokes: list[Points]) -> list[Points]:
    every = np.concatenate(strokes)
    least = every.min(0)
    height = every[:, 1].max() - least[1]
    return [(stroke - least) / height for stroke in strokes]


def _is_itself(variant: Variant, strokes: list[Points]) -> bool:
    """Whether the strokes, of height 1, still show the digit."""
    if variant.label == NOT_A_DIGIT or variant.unusual:
        return True
    width = max(float(stroke[:, 0].max()) for stroke in strokes)
    if variant.label == 1:
        return _is_one(strokes[0])
    if not NARROWEST < width < BROADEST or _thinness(strokes) < THINNEST_SHAPE:
        return False
    return variant.label != 7 or _is_seven(strokes[0])


def _thinness(strokes: list[Points]) -> float:
    """Standard deviation of the points across their longest direction, divided by that along it."""
    points = np.concatenate(strokes)
    points -= points.mean(0)
    (xx, xy), (_, yy) = (points.T @ points).tolist()  # variances and covariance, but for a common factor
    middle, reach = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    return math.sqrt(max(middle - reach, 0) / (middle + reach))


def _is_one(stroke: Points) -> bool:
    """Whether the flag slopes, so that it is no 7's, and the stem stands."""
    top = stroke[stroke[:, 1].argmin()]
    (stem_x, stem_y), (flag_x, flag_y) = map(float, stroke[-1] - top), map(float, stroke[0] - top)
    length = math.hypot(flag_x, flag_y)
    steep = length < 0.08 or flag_y > (0.7 if length < 0.4 else 0.9) * abs(flag_x)
    # A long flag on a stem that leans to the left is a roof, and more than that is a V upside down.
    return steep and stem_y > 0 and -0.75 * stem_y <= stem_x <= (0.75 if length < 0.4 else 0.45) * stem_y


def _is_seven(stroke: Points) -> bool:
    """Whether the top is flat and wide enough, so that it is no 1's flag."""
    right = int(stroke[:, 0].argmax())
    top = stroke[: right + 1, 0]
    across = float(top.max() - top.min())
    return across > 0.36 * float(np.ptp(stroke[:, 1])) and abs(float(stroke[0, 1] - stroke[right, 1])) < 0.5 * across


def _rotation(angle: float) -> Points:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _pen_width(variant: Variant, hand: StrokeHand, width: float, rng: Generator) -> float:
    """Width of the pen in heights, for a digit of this width in heights."""
    if variant.pen is not None:
        return rng.uniform(*variant.pen)
    larger = max(1.0, width)
    size = larger if variant.label == 1 else min(math.sqrt(width), 1.6 * width)
    widest = min(max(0.05 * larger, variant.widest_pen * size), WIDEST * larger)
    return hand.pen if hand.pen < widest else rng.uniform(0.6, 1) * widest


def _draw(
    canvas: npt.NDArray[np.uint8], strokes: list[Points], pen: float, hand: StrokeHand, rng: Generator, *, blunt: bool
) -> None:
    """Draws the strokes with a pen of this width in pixels; a blunt one does not change its width."""
    if hand.pen_kind == "round" or (blunt and hand.pen_kind != "flat"):
        _lines(canvas, strokes, pen)
    elif hand.pen_kind == "flat":
        # A flat nib leaves the sum of the stroke and the nib's edge: the stroke at every place along the edge.
        thickness = max(1.5, 0.3 * pen)
        angle = math.radians(hand.nib)
        edge = (pen - thickness) / 2 * np.array([math.cos(angle), math.sin(angle)])
        places = np.linspace(-1, 1, max(2, math.ceil((pen - thickness) / (0.6 * round(thickness))) + 1))
        _lines(canvas, [stroke + place * edge for stroke in strokes for place in places], thickness)
    else:
        for stroke in strokes:
            knots = hand.pressure * rng.uniform(0.9, 1.1, 5) * (BRUSH if hand.pen_kind == "brush" else 1)
            widths = pen * np.interp(np.linspace(0, 1, len(stroke) - 1), np.linspace(0, 1, 5), knots)
            whole = np.maximum(np.rint(widths), 1).astype(int)  # (pieces,)
            changes = [0, *(np.flatnonzero(np.diff(whole)) + 1).tolist(), len(whole)]
            for start, end in itertools.pairwise(changes):
                _lines(canvas, [stroke[start : end + 1]], float(whole[start]))


def _lines(canvas: npt.NDArray[np.uint8], lines: list[Points], pen: float) -> None:
    fixed = [np.rint(line * (1 << SUBPIXELS)).astype(np.int32) for line in lines]
    cv2.polylines(canvas, fixed, False, 255, max(1, round(pen)), cv2.LINE_AA, SUBPIXELS)
