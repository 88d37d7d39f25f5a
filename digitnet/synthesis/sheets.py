"""Sheets: the ink of a page before it has paper and light, and the digits written in it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from digitnet.synthesis.hands import SHARP, Hand
from digitnet.synthesis.paper import Array

CUT_OFF = 0.85  # nobody is asked to read a digit when less than this part of it is on the page


@dataclass(frozen=True)
class MadeDigit:
    """A digit on a made page.

    Attributes:
        label: 0 to 9, or None for a digit that the border cuts off too far to be read.
        left, top, right, bottom: of its ink, in pixels; right and bottom are the first beyond it.
        line: the number of its line on the page, from 0.
    """

    label: int | None
    left: float
    top: float
    right: float
    bottom: float
    line: int


def windowed(digits: Iterable[MadeDigit], left: int, top: int, width: int, height: int) -> Iterator[MadeDigit]:
    """The digits in a window of a page, with positions in the window; those that it cuts off lose their labels."""
    for digit in digits:
        box = digit.left - left, digit.top - top, digit.right - left, digit.bottom - top
        across, down = min(width, box[2]) - max(0, box[0]), min(height, box[3]) - max(0, box[1])
        if across > 0 and down > 0:
            visible = across * down / ((box[2] - box[0]) * (box[3] - box[1]))
            yield MadeDigit(digit.label if visible >= CUT_OFF else None, *box, digit.line)


class Sheet:
    """Ink, and the digits that are written in it.

    Attributes:
        ink: (height, width) in [0, 1], from none to the most that a pen gives.
        digits: those written so far.
    """

    def __init__(self, height: int, width: int) -> None:
        self.ink = np.zeros((height, width), np.float32)
        self.digits: list[MadeDigit] = []

    @property
    def height(self) -> int:
        return len(self.ink)

    @property
    def width(self) -> int:
        return len(self.ink[0])

    def add(self, patch: Array, left: int, top: int) -> float:
        """Adds ink to the sheet, and returns which part of the patch lies on the sheet, in [0, 1]."""
        rows = slice(max(0, top), max(0, min(self.height, top + len(patch))))
        columns = slice(max(0, left), max(0, min(self.width, left + patch.shape[1])))
        here = self.ink[rows, columns]
        if here.size:
            part = patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            np.maximum(here, part, out=here)
        return here.size / patch.size

    def write(self, patch: Array, left: int, top: int, label: int, line: int) -> None:
        """Adds a digit to the sheet."""
        visible = self.add(patch, left, top)
        if visible > 0:
            box = (left, top, left + patch.shape[1], top + len(patch))
            self.digits.append(MadeDigit(label if visible >= CUT_OFF else None, *box, line))

    def touch(self, patch: Array, top: int, right: float) -> float:
        """The rightmost left edge at which the patch touches the ink that ends at `right`; `right` if there is none."""
        for left in range(round(right), max(0, round(right) - patch.shape[1]), -1):
            rows = slice(max(0, top), max(0, min(self.height, top + len(patch))))
            here = self.ink[rows, left : left + patch.shape[1]]
            part = patch[rows.start - top : rows.start - top + len(here), : here.shape[1]]
            if ((here > SHARP) & (part > SHARP)).any():
                return left
        return right

    def trim(self, margin: int) -> None:
        """Cuts off whatever lies more than `margin` pixels away from the digits."""
        left, right = min(digit.left for digit in self.digits), max(digit.right for digit in self.digits)
        top, bottom = min(digit.top for digit in self.digits), max(digit.bottom for digit in self.digits)
        self.crop(int(left) - margin, int(top) - margin, int(right) + margin, int(bottom) + margin)

    def crop(self, left: int, top: int, right: int, bottom: int) -> None:
        """Keeps this part of the sheet, as far as there is any; digits that it cuts off lose their labels."""
        x0, y0 = max(0, left), max(0, top)
        self.ink = self.ink[y0:bottom, x0:right]
        self.digits = list(windowed(self.digits, x0, y0, *self.ink.shape[::-1]))

    def is_inked(self, left: int, top: int, right: int, bottom: int) -> bool:
        """Whether there is ink in this part of the sheet."""
        return bool((self.ink[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] > SHARP).any())

    def draw_line(self, start: tuple[float, float], end: tuple[float, float], pen: int) -> None:
        """Draws a straight stroke between two points (x, y), `pen` pixels wide."""
        first, last = ((round(x), round(y)) for x, y in (start, end))
        cv2.line(self.ink, first, last, 1.0, pen, cv2.LINE_AA)

    def draw_mark(self, hand: Hand, x: float, y: float, rng: Generator, *, low: bool = False) -> float:
        """Draws a dot, comma, dash, equals sign or slash after a digit, and returns its width; `low`: dot or comma."""
        height, pen = hand.height, _pen_pixels(hand, hand.height)
        kind, foot = rng.random() * (0.7 if low else 1.0), y + height * rng.uniform(0.8, 1.0)
        if kind < 0.5:
            radius = max(1, round(height * rng.uniform(0.03, 0.09)))
            cv2.circle(self.ink, (round(x + radius), round(foot)), radius, 1.0, -1, cv2.LINE_AA)
            return 2 * radius + 0.1 * height
        if kind < 0.7:
            self.draw_line((x + 0.1 * height, foot), (x, foot + height * rng.uniform(0.1, 0.3)), pen)
            return 0.2 * height
        if kind < 0.95:
            length, middle = height * rng.uniform(0.25, 0.9), y + height * rng.uniform(0.4, 0.6)
            rise = 0.1 * height * rng.uniform(-1, 1)
            for row in (0, 1) if kind > 0.85 else (0,):
                level = middle + 0.2 * row * height
                self.draw_line((x, level), (x + length, level - rise), pen)
            return length + 0.15 * height
        self.draw_line((x, y + 1.1 * height), (x + 0.4 * height, y - 0.1 * height), pen)
        return 0.5 * height

    def join(
        self, one: tuple[float, float, Array], other: tuple[float, float, Array], hand: Hand, rng: Generator
    ) -> None:
        """Draws a stroke from the right side of one digit to the left side of the next, high or low.

        Args:
            one, other: left and top of a digit, and its ink.
        """
        ends: list[tuple[float, float]] = []
        for (x, y, patch), rightmost in ((one, True), (other, False)):
            row = int(len(patch) * rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.75, 0.95)]))
            columns = np.flatnonzero(patch[row] > SHARP)
            column = (columns[-1] if rightmost else columns[0]) if len(columns) else patch.shape[1] / 2
            ends.append((x + float(column), y + row))
        self.draw_line(ends[0], ends[1], _pen_pixels(hand, hand.height))

    def scribble(self, hand: Hand, rng: Generator) -> None:
        """Draws lines under, through and beside the writing, or curls."""
        height, width = self.height, self.width
        pen = _pen_pixels(hand, min(hand.height, 60))
        for _ in range(int(rng.integers(1, 4))):
            if rng.random() < 0.6:
                x, y, length = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.2, 1) * width
                angle = rng.normal(0, 0.1) + (math.pi / 2 if rng.random() < 0.2 else 0)
                self.draw_line((x, y), (x + length * math.cos(angle), y + length * math.sin(angle)), pen)
            else:
                points = rng.uniform(-1, 1, (int(rng.integers(5, 12)), 2)) * hand.height
                points = cv2.GaussianBlur(points, (1, 3), 0.8) + rng.uniform((0, 0), (width, height))
                cv2.polylines(self.ink, [points.round().astype(np.int32)], False, 1.0, pen, cv2.LINE_AA)


def _pen_pixels(hand: Hand, height: float) -> int:
    """Width of a straight stroke beside digits of this height, in pixels."""
    return max(1, round((hand.pen or 0.1) * height))
