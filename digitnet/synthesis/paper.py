"""The paper that pages are written on, and the light that falls on it.

Each paper is a function of (height, width, generator). It returns the brightness of each pixel, (height, width), about
0 to 1, before light and ink.
"""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

Array = npt.NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)
Paper = Callable[[int, int, Generator], Array]


def plain(height: int, width: int, rng: Generator) -> Array:
    """The same brightness everywhere."""
    return np.full((height, width), rng.uniform(0.45, 1.0), np.float32)


def grained(height: int, width: int, rng: Generator) -> Array:
    """Fibres or grains of any size, like a plain sheet seen from close by."""
    cell = math.exp(rng.uniform(math.log(1.5), math.log(24)))
    shape = (max(2, round(height / cell)), max(2, round(width / (cell * rng.uniform(0.5, 2)))))
    return plain(height, width, rng) * (
        1 + rng.uniform(0.02, 0.16) * enlarged(rng.standard_normal(shape), (height, width))
    )


def crumpled(height: int, width: int, rng: Generator) -> Array:
    """Folds. Each is a line with light on one side and shade on the other."""
    paper = plain(height, width, rng)
    for _ in range(int(rng.integers(2, 9))):
        distance = _distance_to_any_line(height, width, rng)
        reach = rng.uniform(3, 40)
        paper *= 1 + rng.uniform(0.02, 0.14) * np.sign(distance) * np.exp(-np.abs(distance) / reach)
    return paper


def ruled(height: int, width: int, rng: Generator) -> Array:
    """Lines to write on."""
    return plain(height, width, rng) * (1 - _rules(height, width, rng, squared=False))


def squared(height: int, width: int, rng: Generator) -> Array:
    """Lines in both directions, as in an exercise book for sums."""
    return plain(height, width, rng) * (1 - _rules(height, width, rng, squared=True))


def guilloche(height: int, width: int, rng: Generator) -> Array:
    """Waves of fine lines, as on cheques."""
    printed = np.zeros((height, width), np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        angle = rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else rng.choice([0, math.pi / 2])
        across = columns * math.sin(angle) + rows * math.cos(angle)
        along = columns * math.cos(angle) - rows * math.sin(angle)
        pitch, swing, length = rng.uniform(3, 16), rng.uniform(0, 6), rng.uniform(12, 100)
        phase = (across + swing * np.sin(2 * math.pi * along / length)) / pitch
        lines = (np.abs(phase % 1 - 0.5) * pitch < rng.uniform(0.4, 0.9)) * rng.uniform(0.1, 0.5)
        np.maximum(printed, lines.astype(np.float32), out=printed)
    return plain(height, width, rng) * (1 - printed)


def dotted(height: int, width: int, rng: Generator) -> Array:
    """A grid of dots, in straight or staggered rows."""
    pitch, radius = rng.uniform(3, 14), rng.uniform(0.5, 1.6)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    columns += (rows // pitch % 2) * pitch * rng.choice([0, 0.5])
    distance = np.hypot(rows % pitch - pitch / 2, columns % pitch - pitch / 2)
    dots = np.clip(radius + 0.5 - distance, 0, 1) * rng.uniform(0.1, 0.5)
    return np.asarray(plain(height, width, rng) * (1 - dots), np.float32)


def form(height: int, width: int, rng: Generator) -> Array:
    """Printed frames and cells."""
    printed = np.zeros((height, width), np.float32)
    thick, strength = int(rng.integers(1, 4)), rng.uniform(0.3, 1)
    x0, y0 = int(rng.integers(0, 1 + width // 5)), int(rng.integers(0, 1 + height // 4))
    x1, y1 = width - int(rng.integers(1, 2 + width // 5)), height - int(rng.integers(1, 2 + height // 4))
    cv2.rectangle(printed, (x0, y0), (x1, y1), strength, thick)
    if rng.random() < 0.6:
        for x in np.linspace(x0, x1, int(rng.integers(2, 10))):
            cv2.line(printed, (round(x), y0), (round(x), y1), strength, thick)
    if rng.random() < 0.3:
        for y in np.linspace(y0, y1, int(rng.integers(2, 6))):
            cv2.line(printed, (x0, round(y)), (x1, round(y)), strength, thick)
    return plain(height, width, rng) * (1 - 0.7 * printed)


def on_a_table(height: int, width: int, rng: Generator) -> Array:
    """A sheet on a table. Its edge can be seen."""
    under = grained(height, width, rng) * rng.uniform(0.2, 0.9)
    paper = plain(height, width, rng)
    for _ in range(int(rng.integers(1, 3))):
        outside = _distance_to_any_line(height, width, rng) > 0.25 * width
        paper = np.where(outside, under, paper)
    return np.asarray(paper, np.float32)


PAPERS: dict[str, Paper] = {
    paper.__name__: paper for paper in (plain, grained, crumpled, ruled, squared, guilloche, dotted, form, on_a_table)
}


def light(height: int, width: int, rng: Generator) -> Array:
    """The factor by which light changes each pixel, (height, width): uneven, in one of four pages with a shadow."""
    wide = enlarged(rng.standard_normal((rng.choice([2, 3, 5]), rng.choice([2, 4, 8]))), (height, width))
    falling = 1 + rng.uniform(0, 0.18) * wide
    if rng.random() < 0.25:
        distance = _distance_to_any_line(height, width, rng)
        falling = falling * shadow(distance, rng.uniform(0.1, 0.5), rng.uniform(1, 20))
    return np.asarray(falling, np.float32)


def shadow(distance: npt.NDArray[Real], depth: float, softness: float) -> npt.NDArray[Real]:
    """The factor by which a shadow darkens each pixel: 1 on one side of its edge, 1 - `depth` on the other.

    Args:
        distance: of each pixel from the edge, (height, width), positive on the dark side.
        softness: how wide the edge is, in the unit of `distance`.
    """
    return np.asarray(1 - depth / (1 + np.exp(np.clip(-distance / softness, -50, 50))), distance.dtype)


def printed_lines(
    shape: tuple[int, int],
    rows: Iterable[float],
    columns: Iterable[float],
    tilt: float,
    strength: float,
    thickness: int = 1,
) -> Array:
    """How strongly lines from edge to edge are printed on each pixel, (height, width): `strength` on them, else 0.

    Args:
        shape: height and width.
        rows: where the lines that run from left to right meet the left edge.
        columns: where the lines that run from top to bottom meet the top edge.
        tilt: rows by which a line falls in each column; the lines from top to bottom stay at right angles to them.
    """
    height, width = shape
    printed = np.zeros(shape, np.float32)
    for y in rows:
        cv2.line(printed, (0, round(y)), (width, round(y + tilt * width)), strength, thickness, cv2.LINE_AA)
    for x in columns:
        cv2.line(printed, (round(x), 0), (round(x - tilt * height), height), strength, thickness, cv2.LINE_AA)
    return printed


def enlarged(coarse: npt.NDArray[np.floating], shape: tuple[int, ...]) -> Array:
    """A coarse grid of values, enlarged smoothly to `shape` (height, width)."""
    smooth = cv2.resize(coarse.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def _rules(height: int, width: int, rng: Generator, *, squared: bool) -> Array:
    pitch, strength = rng.uniform(8 if squared else 14, 60), rng.uniform(0.1, 0.6)
    start, tilt, thickness = rng.uniform(0, pitch), rng.uniform(-0.08, 0.08), int(rng.choice([1, 1, 2]))
    # Tilted lines that meet the edge beyond the page also cross it.
    beyond_x, beyond_y = abs(tilt) * height, abs(tilt) * width
    rows = np.arange(start - beyond_y, height + beyond_y, pitch)
    columns = np.arange(start - beyond_x, width + beyond_x, pitch) if squared else ()
    return printed_lines((height, width), rows, columns, tilt, strength, thickness)


def _distance_to_any_line(height: int, width: int, rng: Generator) -> Array:
    """The distance of each pixel from a random line across the page, in pixels, negative on one side."""
    angle = rng.uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows -= height * rng.uniform(0.1, 0.9)
    columns -= width * rng.uniform(0.1, 0.9)
    return np.asarray(columns * math.cos(angle) + rows * math.sin(angle), np.float32)
