"""What pages are written on: sheets of many kinds, and the light that falls on them.

Each paper is a function of (height, width, generator) that gives the brightness of its pixels, (height, width), about 0
to 1, before light and ink.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

Array = npt.NDArray[np.float32]
Paper = Callable[[int, int, Generator], Array]


def plain(height: int, width: int, rng: Generator) -> Array:
    """One brightness throughout."""
    return np.full((height, width), rng.uniform(0.45, 1.0), np.float32)


def grained(height: int, width: int, rng: Generator) -> Array:
    """Fibres or grains of any size: a plain sheet seen from close by."""
    cell = math.exp(rng.uniform(math.log(1.5), math.log(24)))
    shape = (max(2, round(height / cell)), max(2, round(width / (cell * rng.uniform(0.5, 2)))))
    return plain(height, width, rng) * (
        1 + rng.uniform(0.02, 0.16) * enlarged(rng.standard_normal(shape), (height, width))
    )


def crumpled(height: int, width: int, rng: Generator) -> Array:
    """Folds: each a line with light on its one side and shade on its other."""
    paper = plain(height, width, rng)
    for _ in range(int(rng.integers(2, 9))):
        distance = _across(height, width, rng.uniform(0, 2 * math.pi), rng)
        reach = rng.uniform(3, 40)
        paper *= 1 + rng.uniform(0.02, 0.14) * np.sign(distance) * np.exp(-np.abs(distance) / reach)
    return paper


def ruled(height: int, width: int, rng: Generator) -> Array:
    """Lines to write on."""
    return plain(height, width, rng) * (1 - _rules(height, width, rng, squared=False))


def squared(height: int, width: int, rng: Generator) -> Array:
    """Lines both ways, as for sums."""
    return plain(height, width, rng) * (1 - _rules(height, width, rng, squared=True))


def guilloche(height: int, width: int, rng: Generator) -> Array:
    """Waves of fine lines, as cheques have them."""
    printed = np.zeros((height, width), np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(1, 3))):
        angle = rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else rng.choice([0, math.pi / 2])
        across = columns * math.sin(angle) + rows * math.cos(angle)
        along = columns * math.cos(angle) - rows * math.sin(angle)
        pitch, swing, length = rng.uniform(3, 16), rng.uniform(0, 6), rng.uniform(12, 100)
        phase = (across + swing * np.sin(2 * math.pi * along / length)) / pitch
        lines = (np.abs(phase % 1 - 0.5) * pitch < rng.uniform(0.4, 0.9)) * rng.uniform(0.1, 0.5)
        np.maximum(printed, lines.astype(np.float32), out=printed)
    return plain(height, width, rng) * (1 - printed)


def dotted(height: int, width: int, rng: Generator) -> Array:
    """A raster of dots, in straight or staggered rows."""
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
    """A sheet whose edge shows, and what it lies on."""
    under = grained(height, width, rng) * rng.uniform(0.2, 0.9)
    paper = plain(height, width, rng)
    for _ in range(int(rng.integers(1, 3))):
        outside = _across(height, width, rng.uniform(0, 2 * math.pi), rng) > 0.25 * width
        paper = np.where(outside, under, paper)
    return np.asarray(paper, np.float32)


PAPERS: dict[str, Paper] = {
    paper.__name__: paper for paper in (plain, grained, crumpled, ruled, squared, guilloche, dotted, form, on_a_table)
}


def _rules(height: int, width: int, rng: Generator, *, squared: bool) -> Array:
    printed = np.zeros((height, width), np.float32)
    pitch, strength = rng.uniform(8 if squared else 14, 60), rng.uniform(0.1, 0.6)
    start, tilt, thick = rng.uniform(0, pitch), rng.uniform(-0.08, 0.08), int(rng.choice([1, 1, 2]))
    for y in np.arange(start - abs(tilt) * width, height + abs(tilt) * width, pitch):
        cv2.line(printed, (0, round(y)), (width, round(y + tilt * width)), strength, thick, cv2.LINE_AA)
    for x in np.arange(start - abs(tilt) * height, width + abs(tilt) * height, pitch) if squared else ():
        cv2.line(printed, (round(x), 0), (round(x - tilt * height), height), strength, thick, cv2.LINE_AA)
    return printed


def _across(height: int, width: int, angle: float, rng: Generator) -> Array:
    """How far each pixel lies to the one side of a line somewhere on the page, in pixels."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows -= height * rng.uniform(0.1, 0.9)
    columns -= width * rng.uniform(0.1, 0.9)
    return np.asarray(columns * math.cos(angle) + rows * math.sin(angle), np.float32)


def enlarged(coarse: npt.NDArray[np.floating], shape: tuple[int, ...]) -> Array:
    """Smooth between the values of a coarse grid, (height, width)."""
    smooth = cv2.resize(coarse.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def light(height: int, width: int, rng: Generator) -> Array:
    """What part of the light reaches each pixel, (height, width): uneven, at times with a shadow's edge."""
    wide = enlarged(rng.standard_normal((rng.choice([2, 3, 5]), rng.choice([2, 4, 8]))), (height, width))
    falling = 1 + rng.uniform(0, 0.18) * wide
    if rng.random() < 0.25:
        distance = _across(height, width, rng.uniform(0, 2 * math.pi), rng)
        falling = falling * (1 - rng.uniform(0.1, 0.5) / (1 + np.exp(np.clip(-distance / rng.uniform(1, 20), -50, 50))))
    return np.asarray(falling, np.float32)
