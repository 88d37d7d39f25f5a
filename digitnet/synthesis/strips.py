"""Strips: lines of numbers cut out of made sheets, for the line reader, with what stands in each column.

One hand writes a sheet of a few lines, with everything that stands around numbers: words, units, the lines of a form, a
circle, a bracket, ink of the lines above and below. Each line then gives a strip, and so does each digit that stands
apart. Some strips hold no digit.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from digitnet.reading.alphabet import DIGITS, OTHER, SYMBOLS
from digitnet.synthesis import numbers
from digitnet.synthesis.hands import Pixels
from digitnet.synthesis.paper import PAPERS, guilloche
from digitnet.synthesis.photos import Difficulties, photographed, random_difficulties
from digitnet.synthesis.sheets import Sheet
from digitnet.synthesis.signs import joined_zeros, sign
from digitnet.synthesis.writers import Pool, Writer, printed, random_writer

PAPER_KINDS = [*PAPERS.values(), guilloche, guilloche]
PATTERNED = 0.38  # of the sheets are on patterned paper, besides those whose difficulties say so
SLANTED = 0.2  # of the hands lean far to the right
ALIKE = 0.6  # of the hands that write a pool's digits write each digit always alike
NEAREST = 0.3  # heights between the middles of neighbouring digits
NOTHING = 0.14  # of the sheets hold no digit
SINGLES = 0.32  # of the sheets that are not long hold single digits, far apart
MOST_LINES = 4
WHOLE, HIDDEN = 0.85, 0.15  # part of a symbol that is in the strip; between the two it is cut off
OTHER_LINE = 0.45  # a digit of another line that is seen to a larger part than this is cut off, not background
LEAST_SIDE = 6  # pixels of a strip
Span = tuple[float, float]


@dataclass(frozen=True)
class Habits:
    """How numbers are written.

    Attributes:
        kerned: share of the numbers whose digits stand as near as their ink allows, so that the boxes of slanted ones
            overlap.
        touching: share of those whose digits touch.
        joined_zeros: share of those whose zeros at the end are one stroke.
        strokes: share of the hands that write stroke by stroke, with the rare shapes of `variants.toml`.
        lowest: height of the lowest digits, in pixels.
    """

    kerned: float
    touching: float
    joined_zeros: float
    strokes: float
    lowest: float


EXAGGERATED, USUAL = Habits(0.4, 0.09, 0.07, 0.65, 10), Habits(0.05, 0.01, 0.01, 0.65, 18)
PLAIN = 0.6  # of the sheets that are not exaggerated have no difficulties
HIGHEST = 52  # pixels, of a digit
TOUCHING = 0.6  # of the numbers where touching is a difficulty


@dataclass(frozen=True)
class Mark:
    """A symbol on a sheet: its class (see `alphabet`), its box, its line, and whether a gap stands before it."""

    symbol: int
    left: float
    top: float
    right: float
    bottom: float
    line: int
    apart: bool = False


@dataclass(frozen=True)
class MadeStrip:
    """A strip (h, w) in bytes of any height.

    Attributes:
        picture: grey.
        symbols: the classes in it, from left to right, and the columns (left, right) of their ink.
        unknown: columns that show something cut off, which nobody is asked to read.
    """

    picture: Pixels
    symbols: tuple[tuple[int, Span], ...]
    unknown: tuple[Span, ...] = ()


class StripMaker:
    """Makes strips with the digits and letters of a pool, and with hands that write stroke by stroke."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def strips(self, rng: Generator, *, long: bool = False, exaggerated: bool = True) -> list[MadeStrip]:
        """The strips of one random sheet.

        Args:
            long: numbers of 6 to 20 digits, instead of mostly 1 to 4.
            exaggerated: with more of what makes reading hard than people's pictures have, as training needs it.
        """
        is_plain = not exaggerated and rng.random() < PLAIN
        difficulties = frozenset() if is_plain else random_difficulties(rng)
        if exaggerated and rng.random() < PATTERNED:
            difficulties |= {"paper"}
        habits = EXAGGERATED if exaggerated else USUAL
        if "touching" in difficulties:
            habits = replace(habits, touching=TOUCHING)
        writer = self._writer(rng, difficulties, habits)
        kind = rng.random()
        is_empty, singles = kind < NOTHING, not long and kind < NOTHING + SINGLES
        height = writer.hand.height
        lines = int(rng.integers(1, MOST_LINES + 1))
        pitch = rng.uniform(1.15, 2.4)
        wide = 30 if long else 10
        sheet = Sheet(round(height * (2 + pitch * lines)), round(height * wide))
        marks: list[Mark] = []
        for line in range(lines):
            y = height * (1 + pitch * line)
            if is_empty:
                self._nothing(sheet, writer, y, line, marks, rng)
            elif singles:
                self._singles(sheet, writer, y, line, marks, habits, rng)
            else:
                self._numbers(sheet, writer, y, line, marks, habits, rng, long=long)
        groups = list(_groups(marks, singles=singles or (is_empty and rng.random() < 0.6)))
        for group in groups:
            if rng.random() < (0.18 if exaggerated else 0.05):
                _decorate(sheet, group, writer, rng)
        _furnish(sheet, writer, marks, lines, pitch, rng)
        if "lines" in difficulties and rng.random() < 0.5:
            sheet.scribble(writer.hand, rng)
        picture = photographed(sheet.ink, PAPER_KINDS, difficulties, rng, height)
        if exaggerated:
            picture = _blurred(_shadowed(_edged(picture, marks, height, rng), rng), height, rng)
        found = [strip for group in groups if (strip := _cut(picture, group, marks, rng))]
        if is_empty or rng.random() < 0.1:
            found += [strip for _ in range(2) if (strip := _cut_anywhere(picture, marks, height, rng))]
        return [_worn(strip, rng) for strip in found] if exaggerated else found

    def _writer(self, rng: Generator, difficulties: Difficulties, habits: Habits) -> Writer:
        writer = random_writer(self.pool, rng, difficulties, habits.strokes)
        hand = writer.hand
        height = math.exp(rng.uniform(math.log(habits.lowest), math.log(HIGHEST)))
        slope = float(np.clip(hand.slope, -0.12, 0.12)) * (0.6 if "slope" in difficulties else 1)
        hand = replace(hand, height=height, slope=slope, joined=max(hand.joined, 0.4 * (rng.random() < 0.08)))
        strokes = writer.strokes
        if rng.random() < SLANTED:
            lean = rng.uniform(18, 38)
            hand = replace(hand, slant=math.tan(math.radians(lean)))
            strokes = strokes and replace(strokes, slant=lean)
        own = None
        if writer.strokes is None and rng.random() < ALIKE:
            own = {label: int(rng.choice(places)) for label, places in self.pool.places.items()}
        return replace(writer, hand=hand, strokes=strokes, own=own)

    def _numbers(
        self,
        sheet: Sheet,
        writer: Writer,
        y: float,
        line: int,
        marks: list[Mark],
        habits: Habits,
        rng: Generator,
        *,
        long: bool,
    ) -> None:
        """A line of numbers, some with words beside them."""
        height = writer.hand.height
        x, kind = rng.uniform(0.3, 1.6) * height, rng.random()
        count = 1 if long or kind < 0.6 else int(rng.integers(2, 4))
        for place in range(count):
            if rng.random() < 0.08:
                x = self._word(sheet, writer, x, y, line, marks, rng) + height * rng.uniform(0.1, 0.9)
            x = self._number(sheet, writer, numbers.number(rng, long=long), x, y, line, marks, habits, rng)
            if rng.random() < 0.08:
                x = self._word(sheet, writer, x + height * rng.uniform(0.05, 0.6), y, line, marks, rng)
            if place + 1 < count:
                x += height * rng.uniform(0.7, 2.2)

    def _number(
        self,
        sheet: Sheet,
        writer: Writer,
        text: str,
        x: float,
        y: float,
        line: int,
        marks: list[Mark],
        habits: Habits,
        rng: Generator,
    ) -> float:
        """Writes a text of `alphabet.SYMBOLS`, and returns where it ends. What the sheet has no place for is left."""
        hand = writer.hand
        pen = max(0.8, _pen(writer) * hand.height)
        kind = rng.random()
        gap = hand.gap if kind < 0.72 else rng.uniform(-0.12, 0.05) if kind < 0.82 else rng.uniform(0.5, 2.0)
        touching = rng.random() < habits.touching
        kerned = rng.uniform(0.02, 0.2) if rng.random() < habits.kerned else None
        small = rng.uniform(0.5, 0.8) if rng.random() < 0.06 else 1.0  # the last two, as cents
        small_zeros = rng.uniform(0.5, 0.8) if rng.random() < 0.06 else 1.0
        touching_zeros = rng.random() < (0.5 if small_zeros < 1 else 0.1)
        joined_zeros_here = rng.random() < habits.joined_zeros * (5 if small_zeros < 1 else 1)
        tall_first = rng.uniform(1.2, 1.7) if rng.random() < 0.06 else 1.0
        before: tuple[float, float, np.ndarray] | None = None
        first = True
        skipped = 0
        for place, character in enumerate(text):
            if skipped:
                skipped -= 1
                continue
            zeros = len(text) - place - len(text[place:].lstrip("0"))
            if place and zeros > 1 and joined_zeros_here:
                size = hand.height * (small_zeros if small_zeros < 1 else rng.uniform(0.7, 1.0))
                patch, spans = joined_zeros(zeros, size, pen, rng)
                top = y + hand.slope * x + (hand.height - len(patch)) * rng.uniform(0.4, 1.0)
                if x + patch.shape[1] > sheet.width - 1:
                    break
                sheet.add(patch, round(x), round(top))
                marks += [Mark(0, x + left, top, x + right, top + len(patch), line) for left, right in spans]
                x += patch.shape[1] + hand.height * (max(gap, 0) + 0.04)
                before, skipped = None, zeros - 1
                continue
            size = hand.height * (1 + hand.unsteady * rng.uniform(-0.16, 0.16))
            if small < 1 and len(text) > 3 and place >= len(text) - 2:
                size *= small
            elif character == "0" and place:
                size *= small_zeros
            elif not place:
                size *= tall_first
            own = replace(hand, height=size, slant=hand.slant + hand.unsteady * rng.uniform(-0.1, 0.1))
            level = y + hand.slope * x + hand.unsteady * rng.uniform(-0.1, 0.1) * hand.height
            if character in DIGITS:
                patch, label = writer.digit(rng, int(character), own)
                top = level + (hand.height - len(patch)) * rng.uniform(0.3, 0.7)
                if size < 0.85 * hand.height and rng.random() < 0.5:
                    top = level
                is_zeros = text[max(0, place - 1) : place + 1] == "00"
                if before:  # nobody writes the two strokes of an 11 as one
                    nearest = before[0] + (before[2].shape[1] - patch.shape[1]) / 2 + NEAREST * hand.height
                    x, edge = max(x, nearest), before[0] + before[2].shape[1]
                    if touching or (is_zeros and touching_zeros):
                        x = max(nearest, sheet.touch(patch, round(top), edge))
                    elif kerned is not None:
                        x = max(nearest, sheet.touch(patch, round(top), edge) + kerned * hand.height)
                    elif hand.joined and rng.random() < hand.joined:
                        sheet.join(before, (x, top, patch), hand, rng)
            else:
                patch, down = sign(character, hand.height, pen, rng)
                label, top = SYMBOLS.index(character), level + down
                x += hand.height * rng.uniform(0.0, 0.12)
            if x + patch.shape[1] > sheet.width - 1:
                break
            sheet.add(patch, round(x), round(top))
            marks.append(Mark(label, x, top, x + patch.shape[1], top + len(patch), line, apart=first))
            before = (x, top, patch) if character in DIGITS else None
            first = False
            x += patch.shape[1] + hand.height * (gap + 0.04) * (1 + hand.unsteady * rng.uniform(-0.5, 0.5))
            if character not in DIGITS:
                x += hand.height * max(0.0, 0.06 - gap)
        return x

    def _singles(
        self,
        sheet: Sheet,
        writer: Writer,
        y: float,
        line: int,
        marks: list[Mark],
        habits: Habits,
        rng: Generator,
    ) -> None:
        """Single digits far apart; some with a sign after them, as the numbers of a list have."""
        height = writer.hand.height
        x = rng.uniform(0.3, 1.5) * height
        while x < sheet.width - 1.2 * height:
            text = numbers.digits(rng, 1)
            if rng.random() < 0.12:
                text += str(rng.choice([".", ")", "-", "%", "=", ","]))
            x = self._number(sheet, writer, text, x, y, line, marks, habits, rng) + height * rng.uniform(1.4, 3)

    def _nothing(self, sheet: Sheet, writer: Writer, y: float, line: int, marks: list[Mark], rng: Generator) -> None:
        """Words, letters, drawings and scribbles, or nothing at all."""
        height = writer.hand.height
        x, kind = rng.uniform(0.2, 2.0) * height, rng.random()
        if kind < 0.2:
            return
        if kind < 0.35:
            sheet.scribble(writer.hand, rng)
            return
        while x < sheet.width - 1.5 * height:
            x = self._word(sheet, writer, x, y, line, marks, rng, single=kind > 0.65) + height * rng.uniform(0.4, 3)

    def _word(
        self,
        sheet: Sheet,
        writer: Writer,
        x: float,
        y: float,
        line: int,
        marks: list[Mark],
        rng: Generator,
        *,
        single: bool = False,
    ) -> float:
        """Writes a word, printed or by hand, and returns where it ends.

        Args:
            single: one large letter or drawing instead.
        """
        hand, start = writer.hand, x
        if not single and rng.random() < 0.4:
            patch = printed(rng, max(6.0, hand.height * rng.uniform(0.35, 0.9)))
            top = y + hand.height * rng.uniform(0.0, 0.6)
            sheet.add(patch, round(x), round(top))
            bottom, x = top + len(patch), x + patch.shape[1]
        else:
            top, bottom = y, y + hand.height
            for _ in range(1 if single else int(rng.choice([1, 1, 2, 3, 4, 6]))):
                patch = writer.letter(rng, replace(hand, height=hand.height * rng.uniform(0.6, 1.1)))
                if x + patch.shape[1] > sheet.width - 1:
                    break
                sheet.add(patch, round(x), round(y + hand.height - len(patch) + hand.slope * x))
                x += patch.shape[1] + hand.height * rng.uniform(0.02, 0.2)
        if x > start:
            marks.append(Mark(OTHER, start, top, min(x, sheet.width), bottom, line, apart=True))
        return x


def _pen(writer: Writer) -> float:
    """Width of the writer's strokes in heights of a digit."""
    if writer.strokes:
        return writer.strokes.pen
    return writer.hand.pen or 0.1


def _groups(marks: Sequence[Mark], *, singles: bool) -> Iterator[list[Mark]]:
    """The marks of each strip: those of a line, or of a part of it that stands apart."""
    lines: dict[int, list[Mark]] = {}
    for mark in marks:
        lines.setdefault(mark.line, []).append(mark)
    for members in lines.values():
        if not singles:
            yield members
            continue
        group: list[Mark] = []
        for mark in members:
            if mark.apart and group:
                yield group
                group = []
            group.append(mark)
        yield group


def _box(group: Sequence[Mark]) -> tuple[float, float, float, float]:
    return (
        min(mark.left for mark in group),
        min(mark.top for mark in group),
        max(mark.right for mark in group),
        max(mark.bottom for mark in group),
    )


def _tall(group: Sequence[Mark]) -> float:
    """The usual height of the digits of a group; of its other marks where it has no digit."""
    digits = [mark.bottom - mark.top for mark in group if mark.symbol < 10]
    return float(np.median(digits or [mark.bottom - mark.top for mark in group]))


def _decorate(sheet: Sheet, group: Sequence[Mark], writer: Writer, rng: Generator) -> None:
    """Draws a circle, an underline, a frame, cells or a crossing stroke around or through a number."""
    left, top, right, bottom = _box(group)
    tall, kind = _tall(group), rng.random()
    pen = max(1, round(tall * rng.uniform(0.03, 0.11)))
    middle, half = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
    if kind < 0.3:
        axes = half[0] * rng.uniform(1.15, 1.5) + 0.14 * tall, half[1] * rng.uniform(1.15, 1.6)
        if rng.random() < 0.35:  # it crosses the outer digits
            axes = half[0] * rng.uniform(0.6, 1.1) + 0.1 * tall, half[1] * rng.uniform(0.9, 2.6)
        start = rng.uniform(0, 360)
        centre = [round(value + rng.normal() * 0.05 * tall) for value in middle]
        shape = (round(axes[0]), round(axes[1]))
        turn, sweep = rng.uniform(-12, 12), 360 - rng.uniform(-10, 25)
        cv2.ellipse(sheet.ink, centre, shape, turn, start, start + sweep, 1.0, pen, cv2.LINE_AA)
    elif kind < 0.6:
        y = bottom + rng.uniform(0.03, 0.35) * tall
        for row in range(1 + (rng.random() < 0.25)):
            down = row * 0.15 * tall
            start_x, end_x = left - rng.uniform(-0.2, 0.5) * tall, right + rng.uniform(-0.2, 0.5) * tall
            sheet.draw_line((start_x, y + down), (end_x, y + down + rng.normal() * 0.06 * tall), pen)
    elif kind < 0.76:
        grown = rng.uniform(0.05, 0.4, 4) * tall
        corners = (left - grown[0], top - grown[1]), (right + grown[2], bottom + grown[3])
        first, last = ([round(float(value)) for value in corner] for corner in corners)
        cv2.rectangle(sheet.ink, first, last, 1.0, pen, cv2.LINE_AA)
    elif kind < 0.9:
        digits = [mark for mark in group if mark.symbol < 10]
        between = [(one.right + other.left) / 2 for one, other in itertools.pairwise(digits)]
        outside = rng.uniform(0.05, 0.3) * tall
        columns = [left - outside, *between, right + outside]
        # Longer than the digits are tall: a stroke between their top and foot is a 1.
        upper, lower = top - rng.uniform(0.12, 0.5) * tall, bottom + rng.uniform(0.12, 0.5) * tall
        for x in columns:
            sheet.draw_line((x, upper), (x, lower), max(1, pen // 2))
        for y in (upper, lower):
            if rng.random() < 0.75:
                sheet.draw_line((columns[0], y), (columns[-1], y), max(1, pen // 2))
    else:
        y = (top + bottom) / 2 + rng.uniform(-0.3, 0.3) * tall
        rise = rng.normal() * 0.3 * tall
        sheet.draw_line((left - 0.3 * tall, y), (right + 0.3 * tall, y + rise), max(1, pen // 2))


def _furnish(sheet: Sheet, writer: Writer, marks: Sequence[Mark], lines: int, pitch: float, rng: Generator) -> None:
    """Draws the ruled lines and columns of a form, and specks of dust."""
    height = writer.hand.height
    if rng.random() < 0.16:
        pen, foot = int(rng.integers(1, 3)), rng.uniform(0.95, 1.3)
        for line in range(-1, lines):
            y = height * (1 + pitch * line + foot)
            sheet.draw_line((0, y), (sheet.width, y + writer.hand.slope * sheet.width * (rng.random() < 0.5)), pen)
    if rng.random() < 0.04:
        pen = int(rng.integers(1, 3))
        for mark in marks:
            if mark.apart:
                x = mark.left - rng.uniform(0.1, 0.6) * height
                sheet.draw_line((x, 0), (x + rng.normal(), sheet.height), pen)
    if rng.random() < 0.04:  # squared paper
        side, strength = rng.uniform(0.2, 0.7) * height, rng.uniform(0.15, 0.6)
        for y in np.arange(rng.uniform(0, side), sheet.height, side).astype(int).tolist():
            np.maximum(sheet.ink[y], strength, out=sheet.ink[y])
        for x in np.arange(rng.uniform(0, side), sheet.width, side).astype(int).tolist():
            np.maximum(sheet.ink[:, x], strength, out=sheet.ink[:, x])
    if rng.random() < 0.1:
        for _ in range(int(rng.integers(2, 12))):
            place = int(rng.integers(sheet.width)), int(rng.integers(sheet.height))
            cv2.circle(sheet.ink, place, max(1, round(height * rng.uniform(0, 0.05))), rng.uniform(0.3, 1), -1)


def _edged(picture: Pixels, marks: Sequence[Mark], height: float, rng: Generator) -> Pixels:
    """The picture with the desk beyond an edge of the sheet, on some pictures."""
    if rng.random() > 0.08:
        return picture
    desk = np.clip(rng.uniform(0, 255) + rng.uniform(0, 14) * rng.standard_normal(picture.shape), 0, 255)
    left, top, right, bottom = _box(marks) if marks else (height, height, 2.0 * height, 2.0 * height)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    lean = rng.normal(0, 0.05)
    beyond = np.zeros(picture.shape, bool)
    for side in range(4):
        if rng.random() < 0.45:
            gap = rng.uniform(0.08, 1.0) * height
            beyond |= (
                columns + lean * rows < left - gap,
                rows + lean * columns < top - gap,
                columns + lean * rows > right + gap + lean * bottom,
                rows + lean * columns > bottom + gap + lean * right,
            )[side]
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(beyond.astype(np.float32), (0, 0), rng.uniform(0.5, 3))
        return np.asarray(picture + (desk - picture) * soft, np.float32).clip(0, 255).astype(np.uint8)
    return np.where(beyond, desk, picture).astype(np.uint8)


def _shadowed(picture: Pixels, rng: Generator) -> Pixels:
    """The picture with a shadow whose edge runs across it, on some pictures."""
    if rng.random() > 0.08:
        return picture
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    angle, width = rng.uniform(0, 2 * math.pi), rng.uniform(1, 0.2 * picture.shape[0])
    across = (columns - rng.uniform(0, picture.shape[1])) * math.cos(angle)
    across = across + (rows - rng.uniform(0, picture.shape[0])) * math.sin(angle)
    light = rng.uniform(0.35, 0.75) + (1 - rng.uniform(0.35, 0.75)) / (1 + np.exp(-np.clip(across / width, -30, 30)))
    return np.asarray(np.clip(picture * np.minimum(light, 1), 0, 255), np.uint8)


def _blurred(picture: Pixels, height: float, rng: Generator) -> Pixels:
    """The picture out of focus, on some pictures."""
    if rng.random() > 0.06:
        return picture
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(0.5, rng.uniform(0.04, 0.13) * height)), np.uint8)


def _cut(picture: Pixels, group: Sequence[Mark], marks: Sequence[Mark], rng: Generator) -> MadeStrip | None:
    """The strip around a group; None where another line's digits stand in it too."""
    tall = _tall(group)
    left, top, right, bottom = _box(group)

    def margin(tight: float, usual: tuple[float, float], wide: tuple[float, float]) -> float:
        kind = rng.random()
        chosen = (0.0, 0.1) if kind < tight else usual if kind < 0.85 else wide
        return float(rng.uniform(*chosen) * tall)

    sideways = 0.6 if rng.random() < 0.2 else 0.12  # where a number was cut out tightly, all sides are tight
    x0 = math.floor(left - margin(sideways, (0.25, 1.0), (1.0, 2.0)))
    x1 = math.ceil(right + margin(sideways, (0.25, 1.0), (1.0, 2.0)))
    y0 = math.floor(top - margin(sideways, (0.1, 0.45), (0.45, 1.1)))
    y1 = math.ceil(bottom + margin(sideways, (0.1, 0.45), (0.45, 1.1)))
    return _window(picture, marks, x0, y0, x1, y1, tall)


def _cut_anywhere(picture: Pixels, marks: Sequence[Mark], height: float, rng: Generator) -> MadeStrip | None:
    """A strip from anywhere; None where a digit stands in it or is cut off by it."""
    tall = height * rng.uniform(0.8, 2.0)
    wide = tall * rng.uniform(0.6, 4)
    x, y = rng.uniform(0, max(1, picture.shape[1] - wide)), rng.uniform(0, max(1, picture.shape[0] - tall))
    strip = _window(picture, marks, int(x), int(y), int(x + wide), int(y + tall), height)
    return None if strip is None or strip.unknown or any(symbol < 10 for symbol, _ in strip.symbols) else strip


def _window(
    picture: Pixels, marks: Sequence[Mark], x0: int, y0: int, x1: int, y1: int, tall: float
) -> MadeStrip | None:
    """The part of a sheet between columns x0 and x1 and rows y0 and y1, as far as there is any."""
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(picture.shape[1], x1), min(picture.shape[0], y1)
    if x1 - x0 < LEAST_SIDE or y1 - y0 < LEAST_SIDE:
        return None
    line_top, line_bottom = y0, y1
    symbols, unknown = [], []
    for mark in marks:
        across = (min(mark.right, x1) - max(mark.left, x0)) / max(mark.right - mark.left, 1)
        down = (min(mark.bottom, line_bottom) - max(mark.top, line_top)) / max(mark.bottom - mark.top, 1)
        if across <= 0 or down <= 0:
            continue
        seen = across * down
        span = (max(mark.left, x0) - x0, min(mark.right, x1) - x0)
        is_small = mark.bottom - mark.top < 0.4 * tall
        if seen > WHOLE:
            symbols.append((mark.symbol, span))
        elif mark.symbol == OTHER and across > 0.3 and down > 0.5:
            symbols.append((OTHER, span))
        elif (mark.symbol < 10 and down > OTHER_LINE and across > HIDDEN) or (
            mark.symbol >= 10 and seen > HIDDEN and not is_small
        ):
            unknown.append(span)
    symbols.sort(key=lambda one: one[1][0] + one[1][1])
    digits = [one for one in symbols if one[0] < 10]
    for (_, one), (_, other) in itertools.pairwise(digits):
        shared = min(one[1], other[1]) - max(one[0], other[0])
        if shared > 0.7 * min(one[1] - one[0], other[1] - other[0]):
            return None  # one above the other
    return MadeStrip(np.ascontiguousarray(picture[y0:y1, x0:x1]), tuple(symbols), tuple(unknown))


def _worn(strip: MadeStrip, rng: Generator) -> MadeStrip:
    """The strip turned a little, in a lower resolution, stretched, with more paper around it: each on some strips."""
    picture: Any = strip.picture
    scale, shift = 1.0, 0.0
    tall, wide = picture.shape
    if rng.random() < 0.25:
        turn = cv2.getRotationMatrix2D((wide / 2, tall / 2), rng.normal(0, 2.2 if wide < 4 * tall else 0.8), 1)
        picture = cv2.warpAffine(picture, turn, (wide, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    low = rng.uniform(0.45, 1) if rng.random() < 0.35 and tall > 24 else 1.0
    stretch = math.exp(rng.uniform(-0.75, 0.6)) if rng.random() < 0.4 else 1.0
    size = max(4, round(wide * low * stretch)), max(8, round(tall * low))
    if size != (wide, tall):
        smooth = cv2.INTER_AREA if size[0] <= wide else cv2.INTER_LINEAR
        picture, scale = cv2.resize(picture, size, interpolation=smooth), size[0] / wide
    if rng.random() < 0.2:
        above, below, before, after = (int(side * picture.shape[0]) for side in rng.uniform(0, 0.4, 4))
        border = cv2.BORDER_REFLECT_101 if rng.random() < 0.15 else cv2.BORDER_REPLICATE
        if min(picture.shape) > 2 * max(above, below, before, after) or border == cv2.BORDER_REPLICATE:
            picture, shift = cv2.copyMakeBorder(picture, above, below, before, after, border), float(before)

    def moved(span: Span) -> Span:
        return span[0] * scale + shift, span[1] * scale + shift

    symbols = tuple((symbol, moved(span)) for symbol, span in strip.symbols)
    return MadeStrip(np.asarray(picture, np.uint8), symbols, tuple(map(moved, strip.unknown)))
