"""Situations: the pictures in which people hand in one digit, made at random.

A digit stands on a sheet: in the middle or aside, large or small, or cut out tightly. The sheet may be ruled, framed
and printed on. It may lie on something larger: a desk, a page, a window of a program, and that again on something
else. Then light, a lens and a sensor do their part.
"""

import math

import cv2
import numpy as np
from numpy.random import Generator

from digitnet.synthesis.paper import Array, enlarged, shadow

SMALLEST, LARGEST = 20, 420  # pixels; sides of a sheet
LOWEST = 9  # pixels; height of a digit
CONTRAST = 0.35  # least difference of brightness between paper and ink; some ink is fainter on purpose
WORDS = ("Your answer:", "Name", "Draw here", "Betrag EUR", "total", "Page", "Clear  Predict")


def in_situation(ink: Array, rng: Generator) -> Array:
    """A picture (H, W) in [0, 1], 1 is white, of one digit.

    Args:
        ink: (h, w) in [0, 1], cropped to the digit.
    """
    dark = rng.random() < 0.7
    paper = rng.uniform(0.6, 1) if dark else rng.uniform(0, 0.35)
    pen = rng.uniform(0, paper - CONTRAST) if dark else rng.uniform(paper + CONTRAST, 1)
    if rng.random() < 0.08:
        pen = paper + (pen - paper) * rng.uniform(0.15, 0.5)
    if rng.random() < 0.2:
        picture = _cut_out(ink, paper, pen, rng)
    else:
        picture = _sheet(ink, paper, pen, rng)
        for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.38, 0.12]))):
            picture = _on_something_larger(picture, rng)
        if rng.random() < 0.3:
            picture = picture * _light(picture.shape, rng)
    if rng.random() < 0.3:
        blur = rng.uniform(0.3, max(0.31, 0.012 * max(picture.shape)))
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.float32)
    if rng.random() < 0.5:
        noise = rng.choice([0.005, 0.015, 0.04], p=[0.5, 0.35, 0.15])
        picture = picture + noise * rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _cut_out(ink: Array, paper: float, pen: float, rng: Generator) -> Array:
    """The digit with at most two pixels of paper around it."""
    digit = _scaled(ink, math.exp(rng.uniform(math.log(LOWEST), math.log(LARGEST))))
    digit = np.pad(digit, int(rng.integers(0, 3)))
    return np.asarray(paper + (pen - paper) * digit, np.float32)


def _sheet(ink: Array, paper: float, pen: float, rng: Generator) -> Array:
    """A sheet with the digit in the middle or anywhere; lines, a frame and words may be printed on it."""
    height = round(math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST))))
    width = max(SMALLEST // 2, round(height * math.exp(rng.normal(0, 0.2))))
    sheet = np.full((height, width), paper, np.float32)
    part = rng.choice([rng.uniform(0.1, 0.3), rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.9)])
    digit = _scaled(ink, max(LOWEST, part * min(height, width * len(ink) / len(ink[0]))))[:height, :width]
    free = height - len(digit), width - len(digit[0])
    top, left = (side // 2 for side in free) if rng.random() < 0.5 else (int(rng.integers(side + 1)) for side in free)

    def printed(least: float) -> float:
        return float(paper + (pen - paper) * rng.uniform(least, 1))

    if rng.random() < 0.25:
        pitch = max(6, int(len(digit) * rng.uniform(0.25, 1.2)))
        kind = rng.random()
        if kind < 0.7:
            sheet[int(rng.integers(pitch)) :: pitch] = printed(0.2)
        if kind > 0.4:
            sheet[:, int(rng.integers(pitch)) :: pitch] = printed(0.2)
    if rng.random() < 0.2:
        inset = int(rng.uniform(0, 0.12) * min(height, width))
        thickness = max(1, int(rng.uniform(0.005, 0.03) * min(height, width)))
        cv2.rectangle(sheet, (inset, inset), (width - 1 - inset, height - 1 - inset), printed(0.3), thickness)
    if rng.random() < 0.12:
        line = round(rng.uniform(0.08, 0.16) * height) + 3  # pixels
        if top > line + 3:
            _write(sheet, line, pen, rng)
        elif top + len(digit) < height - line:
            _write(sheet, height - 4, pen, rng)
    if rng.random() < 0.12:
        _neighbour(sheet, digit, pen, rng)
    place = sheet[top : top + len(digit), left : left + len(digit[0])]
    place += (pen - place) * digit
    return sheet


def _neighbour(sheet: Array, digit: Array, pen: float, rng: Generator) -> None:
    """Adds the strokes of another digit, cut off at the left or the right edge. They are the digit's own, turned."""
    strokes = digit[::-1, ::-1][:, : max(1, round(rng.uniform(0.1, 0.4) * len(digit[0])))]
    top = int(rng.integers(len(sheet) - len(digit) + 1))
    if rng.random() < 0.5:
        strokes = strokes[:, ::-1]
        place = sheet[top : top + len(digit), : len(strokes[0])]
    else:
        place = sheet[top : top + len(digit), -len(strokes[0]) :]
    place += (pen - place) * strokes


def _on_something_larger(picture: Array, rng: Generator) -> Array:
    """The picture on a ground of any brightness and grain; it may have an edge, and the ground a bar with words."""
    height, width = picture.shape
    shape = round(height * rng.uniform(1.03, 1.9)) + 2, round(width * rng.uniform(1.03, 1.9)) + 2
    ground = np.full(shape, rng.uniform(0, 1), np.float32)
    if rng.random() < 0.4:
        cells = max(2, shape[0] // int(rng.integers(3, 40))), max(2, shape[1] // int(rng.integers(3, 60)))
        ground += rng.uniform(0.01, 0.1) * enlarged(rng.standard_normal(cells), shape)
    free = shape[0] - height, shape[1] - width
    top, left = (side // 2 for side in free) if rng.random() < 0.5 else (int(rng.integers(side + 1)) for side in free)
    ground[top : top + height, left : left + width] = picture
    if rng.random() < 0.35:
        corners = (left, top), (left + width - 1, top + height - 1)
        cv2.rectangle(ground, *corners, rng.uniform(0, 1), int(rng.integers(1, 4)))
    if rng.random() < 0.25:
        bar = int(rng.uniform(0.03, 0.1) * shape[0]) + 1
        ground[:bar] = rng.uniform(0, 1)
        _write(ground, bar - 1, rng.uniform(0, 1), rng)
    return ground


def _write(picture: Array, baseline: int, brightness: float, rng: Generator) -> None:
    """Prints words that end above a row of the picture, into the picture."""
    mask = np.zeros(picture.shape, np.uint8)
    start = int(rng.integers(max(1, len(picture[0]) // 3)))
    scale = len(picture) / 330
    words = str(rng.choice(WORDS))
    cv2.putText(mask, words, (start, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(1, round(scale)), cv2.LINE_AA)
    picture += (brightness - picture) * (mask / np.float32(255))


def _light(shape: tuple[int, ...], rng: Generator) -> Array:
    """The brightness (H, W) of a light that falls off, softly or with the edge of a shadow."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width] / max(height, width) - 0.5
    angle = rng.uniform(0, 2 * math.pi)
    distance = columns * math.cos(angle) + rows * math.sin(angle) + rng.uniform(-0.4, 0.4)
    softness = 1 / rng.choice([6, 20, 60])
    return np.asarray(shadow(distance, rng.uniform(0.1, 0.55), softness), np.float32)


def _scaled(ink: Array, height: float) -> Array:
    """The ink at another height, its aspect kept."""
    size = max(2, round(len(ink[0]) * height / len(ink))), max(2, round(height))
    smooth = cv2.INTER_AREA if height < len(ink) else cv2.INTER_CUBIC
    return np.asarray(np.clip(cv2.resize(ink, size, interpolation=smooth), 0, 1), np.float32)
