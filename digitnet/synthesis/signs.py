"""Signs that stand in numbers, such as a point or a slash, as ink."""

import math

import cv2
import numpy as np
from numpy.random import Generator

from digitnet.synthesis.paper import Array

FINE = 4  # signs are drawn this many times larger and then reduced, because OpenCV's pens have whole widths
SUBPIXELS = 4  # OpenCV takes places in sixteenths of a pixel

Strokes = list[list[tuple[float, float]]]  # points (x, y) in heights of a digit; y is 0 at its top and 1 at its foot


def sign(character: str, height: float, pen: float, rng: Generator) -> tuple[Array, float]:
    """The ink (h, w) in [0, 1] of a sign, and how far its top lies below the top of the digits, in pixels.

    Args:
        character: one of `alphabet.SIGNS`.
        height: of the digits beside it, in pixels.
        pen: width of its strokes, in pixels.
    """
    strokes = [np.array(stroke) for stroke in _strokes(character, rng)]
    points = np.concatenate(strokes)
    lean = rng.normal(0, 0.08)
    least, most = points.min(0), points.max(0)
    margin = 0.7 * pen / height + 2 / height
    wide, tall = np.ceil((most - least + 2 * margin + [abs(lean) * (most[1] - least[1]), 0]) * height).astype(int)
    canvas = np.zeros((tall * FINE, wide * FINE), np.uint8)
    fixed = []
    for stroke in strokes:
        placed = stroke - least + margin
        placed[:, 0] += lean * (least[1] + placed[:, 1] - margin - (most[1] if lean > 0 else least[1])) * -1
        fixed.append(np.rint(placed * height * FINE * (1 << SUBPIXELS)).astype(np.int32))
    cv2.polylines(canvas, fixed, False, 255, max(1, round(pen * FINE)), cv2.LINE_AA, SUBPIXELS)
    reduced = cv2.resize(canvas, (int(wide), int(tall)), interpolation=cv2.INTER_AREA)
    ink = np.multiply(reduced, np.float32(1 / 255), dtype=np.float32)
    left, top, across, down = cv2.boundingRect((ink > 0.2).astype(np.uint8))
    if not across:
        return ink, float((least[1] - margin) * height)
    return np.ascontiguousarray(ink[top : top + down, left : left + across]), float((least[1] - margin) * height + top)


def joined_zeros(count: int, height: float, pen: float, rng: Generator) -> tuple[Array, list[tuple[float, float]]]:
    """Zeros written in one stroke, as ink (h, w) in [0, 1], and the columns (left, right) of each.

    Args:
        height: of a zero, in pixels.
        pen: width of the stroke, in pixels.
    """
    wide, lean = rng.uniform(0.4, 1.1), rng.uniform(-0.1, 0.5)
    step = wide * rng.uniform(0.85, 1.5)
    start = rng.uniform(-0.6, 0.6)  # radians from the top, where a loop is begun and closed
    points, spans = [], []
    for index in range(count):
        # One turn and a little more, against the clock, then on to the next loop.
        turns = np.linspace(0, rng.uniform(5.6, 6.6), 22)
        size = rng.uniform(0.85, 1.1)
        x = index * step + wide / 2 - size * wide / 2 * np.sin(turns + start)
        y = 0.5 - size * 0.5 * np.cos(turns + start) + rng.normal(0, 0.03)
        points.append(np.column_stack([x - lean * (y - 0.5), y]))
        spans.append((float(points[-1][:, 0].min()), float(points[-1][:, 0].max())))
    line = np.concatenate(points)
    least, margin = line.min(0), 0.7 * pen / height + 2 / height
    across, down = np.ceil((line.max(0) - least + 2 * margin) * height).astype(int).tolist()
    canvas = np.zeros((down * FINE, across * FINE), np.uint8)
    fixed = np.rint((line - least + margin) * height * FINE * (1 << SUBPIXELS)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 255, max(1, round(pen * FINE)), cv2.LINE_AA, SUBPIXELS)
    reduced = cv2.resize(canvas, (across, down), interpolation=cv2.INTER_AREA)
    edges = [tuple((edge - float(least[0]) + margin) * height for edge in span) for span in spans]
    return np.multiply(reduced, np.float32(1 / 255), dtype=np.float32), [(left, right) for left, right in edges]


def _strokes(character: str, rng: Generator) -> Strokes:
    """The strokes of a sign, a little different each time."""
    u = rng.uniform
    if character == ".":
        foot, size = u(0.86, 1.04), u(0, 0.05)
        return [[(0, foot), (size, foot + size * u(-1, 1))]]
    if character == ",":
        foot = u(0.86, 1.0)
        return [[(u(0.05, 0.12), foot), (u(0.06, 0.1), foot + u(0.04, 0.1)), (0, foot + u(0.12, 0.32))]]
    if character == ":":
        upper, lower = u(0.2, 0.45), u(0.75, 1.0)
        return [[(u(-0.02, 0.02), y), (u(0.0, 0.03), y + u(0, 0.04))] for y in (upper, lower)]
    if character in "-=":
        # A long one fills the rest of a line.
        length, level = u(0.25, 0.8) if rng.random() < 0.8 else u(0.8, 4.0), u(0.42, 0.62)
        rows = (level,) if character == "-" else (level - u(0.08, 0.16), level + u(0.08, 0.16))
        return [[(u(-0.04, 0.04), y + u(-0.03, 0.03)), (length, y + u(-0.06, 0.04))] for y in rows]
    if character == "/":
        # Longer than the digits are tall: a stroke between their top and foot is a 1.
        return [[(u(0.35, 0.75), u(-0.25, -0.06)), (u(-0.04, 0.04), u(1.06, 1.3))]]
    if character == "+":
        size, middle = u(0.22, 0.4), u(0.45, 0.62)
        return [
            [(0, middle + u(-0.05, 0.05)), (2 * size, middle + u(-0.06, 0.04))],
            [
                (size + u(-0.06, 0.06), middle - size * u(0.8, 1.2)),
                (size + u(-0.06, 0.06), middle + size * u(0.8, 1.2)),
            ],
        ]
    if character == "%":
        slash = [(u(0.55, 0.8), u(-0.05, 0.1)), (u(0.0, 0.2), u(0.92, 1.05))]
        return [slash, _ring(u(0.08, 0.16), u(0.15, 0.28), rng), _ring(u(0.62, 0.8), u(0.72, 0.85), rng)]
    bend, top, foot = u(0.1, 0.3), u(-0.2, 0.05), u(0.95, 1.25)
    turns = np.linspace(-1, 1, 9)
    side = -1 if character == "(" else 1
    return [[(side * bend * math.cos(turn * 1.4), (top + foot) / 2 + turn * (foot - top) / 2) for turn in turns]]


def _ring(x: float, y: float, rng: Generator) -> list[tuple[float, float]]:
    wide, tall, turns = rng.uniform(0.07, 0.14), rng.uniform(0.1, 0.18), np.linspace(0, 2 * math.pi, 12)
    return [(x + wide * math.cos(turn), y + tall * math.sin(turn)) for turn in turns]
