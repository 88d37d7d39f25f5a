"""Hands: how one person writes, and a digit or letter written that way."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from digitnet.synthesis.paper import Array

Pixels = npt.NDArray[np.uint8]

SOURCE_SIDE = 28  # pixels; side of the digits and letters that pages are written with
FINE = 2  # digits are thinned to lines at this many times their size
LINE_WIDTH = 1.6  # pixels; width of such a line, with its soft edges
SHARP = 0.5  # ink above this is part of a stroke
SOURCE_INK = 60  # of 255; pixels of a source above this are its ink


@dataclass(frozen=True)
class Hand:
    """How somebody writes on one page.

    Attributes:
        height: of a digit, in pixels.
        pen: width of the strokes as a fraction of the height; None keeps the strokes of the source.
        thicker: how much strokes grow where `pen` is None, in pixels of the source; below 0 they shrink.
        slant: columns by which a row lies further right than the row below it, in (-1, 1).
        slope: of the lines, in rows down for each column.
        stretch: factor of the width.
        gap: between digits, as a fraction of the height; below 0 they overlap.
        unsteady: how much size, place, slant and gap vary from digit to digit, in [0, 1].
        joined: how often a stroke joins a digit to the next, in [0, 1].
    """

    height: float
    pen: float | None = None
    thicker: float = 0.0
    slant: float = 0.0
    slope: float = 0.0
    stretch: float = 1.0
    gap: float = 0.2
    unsteady: float = 0.5
    joined: float = 0.0


def random_hand(rng: Generator) -> Hand:
    """A random hand: thin pens and markers, upright and slanted, narrow and wide."""
    gap = rng.choice([rng.uniform(-0.22, 0.1), rng.uniform(0.05, 0.5), rng.uniform(0.3, 1.3)])
    own_pen = rng.random() < 0.45
    return Hand(
        height=rng.uniform(64, 200) if rng.random() < 0.06 else math.exp(rng.uniform(math.log(9), math.log(64))),
        pen=math.exp(rng.uniform(math.log(0.03), math.log(0.2))) if own_pen else None,
        thicker=float(rng.choice([-0.7, -0.4, 0, 0, 0.4, 1.0])),
        slant=rng.uniform(-0.25, 0.5),
        slope=rng.uniform(-0.36, 0.36) if rng.random() < 0.2 else rng.uniform(-0.08, 0.08),
        stretch=math.exp(rng.uniform(-0.25, 0.25)),
        gap=float(gap),
        unsteady=rng.uniform(0, 1),
        joined=rng.uniform(0, 0.7) if rng.random() < 0.15 else 0.0,
    )


def handwritten(source: Pixels, hand: Hand) -> Array:
    """The ink (h, w) in [0, 1] of a digit or letter of the source, written in a hand and cropped tightly.

    Args:
        source: (28, 28) as it was given, or (56, 56) thinned to lines, which the pen of the hand then widens.
    """
    side = len(source)
    # As numbers of numpy, which make numpy compute the ink below in float64.
    left, top, wide, tall = np.array(cv2.boundingRect((source > SOURCE_INK).astype(np.uint8)))
    if not wide:
        return np.zeros((1, 1), np.float32)
    thin = side == FINE * SOURCE_SIDE
    pen = max(1.0, (hand.pen or 0) * hand.height) if thin else 0.0
    scale = max(hand.height - pen, 4) / max(tall, 0.7 * wide)
    middle = np.array([left + (wide - 1) / 2, top + (tall - 1) / 2])
    # The page's slope turns its digits too.
    cos, sin = 1 / math.hypot(1, hand.slope), hand.slope / math.hypot(1, hand.slope)
    shape = np.array([[hand.stretch, -hand.slant], [0, 1]])
    matrix = scale * np.array([[cos, -sin], [sin, cos]]) @ shape
    reach = np.abs(matrix) @ np.array([wide, tall]) / 2 + pen + 3
    size = np.ceil(2 * reach).astype(int)
    offset = size / 2 - matrix @ middle
    fine: Any = source.astype(np.float32) / 255
    if thin or scale < 0.7:  # without this, each pixel of a line would show as a corner
        fine = cv2.GaussianBlur(fine, (0, 0), max(0.4 / scale, 1.0 if thin else 0.0))
    affine = np.hstack([matrix, offset[:, None]]).astype(np.float32)
    ink = cv2.warpAffine(
        fine, affine, (int(size[0]), int(size[1])), flags=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    )
    if thin:
        return _cropped(_widened(np.asarray(ink, np.float32), pen - LINE_WIDTH * scale))
    threshold = SHARP - 0.2 * hand.thicker
    steepness = max(1.2, 0.7 * scale, 0.5 / threshold)  # the last one keeps bare paper without ink
    return _cropped(np.clip((ink - threshold) * steepness + 0.5, 0, 1))


def thinned(digits: Pixels) -> Pixels:
    """Each of `digits` (N, 28, 28), thinned to lines, (N, 56, 56)."""
    side = FINE * SOURCE_SIDE
    large = [cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC) for digit in digits]
    masks = (np.stack(large) > 127).astype(np.uint8) if large else np.zeros((0, side, side), np.uint8)
    return skeletons(masks) * np.uint8(255)


def skeletons(masks: Pixels) -> Pixels:
    """Each of `masks` (N, H, W), of 0 and 1, thinned to unbroken lines one pixel wide (Zhang and Suen, 1984)."""
    image = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    changing = np.arange(len(image))
    while len(changing):
        before = image[changing]
        after = before
        for first in (True, False):
            # The eight neighbours, clockwise from the one above.
            n = [
                np.roll(after, shift, (1, 2))
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            ]
            neighbours = sum(n[1:], n[0])
            rises = sum(((1 - n[i]) & n[(i + 1) % 8] for i in range(1, 8)), (1 - n[0]) & n[1])
            sides = (n[0] & n[2] & n[4], n[2] & n[4] & n[6]) if first else (n[0] & n[2] & n[6], n[0] & n[4] & n[6])
            drop = (after == 1) & (neighbours >= 2) & (neighbours <= 6) & (rises == 1)
            after = after & ~(drop & (sides[0] == 0) & (sides[1] == 0))
        image[changing] = after
        changing = changing[(after != before).any((1, 2))]
    return np.ascontiguousarray(image[:, 1:-1, 1:-1])


def _widened(line: Array, wider: float) -> Array:
    """A thin line, (h, w), made wider by this many pixels."""
    distance = cv2.distanceTransform((line < 0.5 * line.max()).astype(np.uint8), cv2.DIST_L2, 5)
    if wider > 2:
        distance = cv2.GaussianBlur(distance, (0, 0), 0.25 * wider)
    return np.asarray(np.clip(max(wider, 0) / 2 + 0.5 - distance, 0, 1), np.float32)


def _cropped(ink: Array) -> Array:
    """The ink without the empty rows and columns around it."""
    left, top, wide, tall = cv2.boundingRect((ink > 0.25).astype(np.uint8))
    if not wide:
        return np.zeros((1, 1), np.float32)
    return np.ascontiguousarray(ink[top : top + tall, left : left + wide], np.float32)
