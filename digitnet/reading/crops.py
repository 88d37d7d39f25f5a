"""Digits of a strip, cut out for DigitNet: each one's ink between its neighbours, in one or two ways.

The line reader says in which columns a digit stands. What else stands there, such as a circle around it, an underline,
a bracket or the frame of a cell, may be taken for its ink. So a second crop leaves out components that look like that.

Ink beside the digits that is as tall as they are may be a digit that the line reader has missed, such as a plain 1. It
is cut out, too (`between`).
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from digitnet.reading.contrast import Grey
from digitnet.reading.decode import NONE, ReadDigit
from digitnet.reading.ink import STRONG, Array, Mask, flattened, small_ink_maps
from digitnet.reading.normalise import NormalisedDigit, fit, normalise_stack
from digitnet.reading.strips import HEIGHT, STRIDE, Strip, prepared
from digitnet.results import Box

WINDOW = 60  # pixels of a strip; the width of the window in which a digit's ink is searched
REACH = 1.0  # heights; the window reaches no further from the digit's middle on either side
# Of the usual height of a digit:
FLAT = 0.22  # a component that is lower than this and wider than tall is a line
SPECK = 0.12  # a smaller component is dust
CENTRAL = 0.25  # the digit's own components come so near to its middle
AS_TALL = 0.7  # ink at least this tall may be a digit
BEYOND = 1.3  # before the first digit and after the last one, missed digits are searched so far
NARROWEST = 0.12  # a gap between digits that is narrower holds no digit
LEVEL = 0.3  # a missed digit's top and foot are so near to those of its neighbours; a wall or a slash reaches further
INKED = 1.0  # contrast (see `contrast`) of ink


def crops(strip: Strip, digits: Sequence[ReadDigit]) -> list[tuple[NormalisedDigit, ...]]:
    """What DigitNet may be shown of each digit of a strip; the boxes are in pixels of the strip. None without ink."""
    if not digits:
        return []
    flat = replace(strip, grey=flattened(strip.grey))
    cut_out = [_window(flat, digit) for digit in digits]
    windows = np.stack([window for window, _ in cut_out])
    alike = normalise_stack(windows)
    alone, are_several = _without_surroundings(windows, strip.height)
    found = []
    for (_, shift), several, *ways in zip(cut_out, are_several, alike, alone, strict=True):
        different = [way for way in ways if way is not None]
        if len(different) == 2 and different[0].box == different[1].box:
            different.pop()
        found.append(
            tuple(replace(way, box=replace(way.box, x=way.box.x + shift), several=several) for way in different)
        )
    return found


def between(strip: Strip, boxes: Sequence[Box]) -> list[ReadDigit]:
    """Where digits may have been missed: the gaps beside the digits of a strip that hold ink as tall as they are.

    Args:
        boxes: of the ink of the digits, from left to right, in pixels of the strip.
    """
    if not boxes:
        return []
    edges = np.array([box.edges for box in boxes])  # (N, 4)
    top, bottom = (round(float(np.median(edges[:, side]))) for side in (1, 3))
    reach = BEYOND * (bottom - top)
    inked = np.abs(prepared(strip.grey)[max(0, top) : bottom]) > INKED  # (h, W)
    lefts = np.append(max(0.0, edges[0, 0] - reach), edges[:, 2])
    rights = np.append(edges[:, 0], min(inked.shape[1], edges[-1, 2] + reach))
    return [
        ReadDigit(0, int(left / STRIDE), int(right / STRIDE), left / STRIDE, right / STRIDE, np.eye(NONE + 1)[NONE])
        for left, right in zip(lefts.tolist(), rights.tolist(), strict=True)
        if right - left > NARROWEST * (bottom - top)
        and inked[:, int(left) : int(np.ceil(right))].any(1).mean() > AS_TALL
    ]


def stands_among(crop: NormalisedDigit, boxes: Sequence[Box]) -> bool:
    """Whether a crop is as tall as the digits with these boxes and stands on their level, in a strip.

    What reaches the strip's top or foot may go on beyond it, as the wall of a cell does.
    """
    edges = np.array([box.edges for box in boxes])
    top, bottom = float(np.median(edges[:, 1])), float(np.median(edges[:, 3]))
    height = bottom - top
    _, above, _, below = crop.box.edges
    return (
        crop.box.height > AS_TALL * height
        and above > 0
        and below < HEIGHT
        and abs(above - top) < LEVEL * height
        and abs(below - bottom) < LEVEL * height
    )


def _window(strip: Strip, digit: ReadDigit) -> tuple[Grey, int]:
    """The window (48, 60) around a digit, with paper beyond its neighbours, and its left edge in the strip."""
    middle = STRIDE * (digit.first + digit.last) / 2
    reach = min(WINDOW / 2, REACH * strip.height)
    left = max(0, round(max(STRIDE * digit.left, middle - reach)))
    right = min(strip.grey.shape[1], round(min(STRIDE * digit.right, middle + reach)))
    left = min(left, max(0, right - STRIDE))
    part = strip.grey[:, left:right]
    # The digit's middle is the window's, as far as the part allows.
    begin = int(min(max(round(WINDOW / 2 - (middle - left)), 0), WINDOW - part.shape[1]))
    window = np.full((HEIGHT, WINDOW), np.median(part), np.float32)
    window[:, begin : begin + part.shape[1]] = part
    return window, left - begin


def _without_surroundings(windows: Array, height: float) -> tuple[list[NormalisedDigit | None], list[bool]]:
    """The digit in the middle of each of `windows` (N, 48, 60), without lines, and without what stands around it.

    Then for each window whether its digit may be two: two components stand side by side, about as tall as each other.
    """
    found: list[NormalisedDigit | None] = []
    are_several = []
    for ink in small_ink_maps(windows):
        mask, several = _central(ink, height)
        are_several.append(several)
        if mask is None:
            found.append(None)
            continue
        box = Box(*cv2.boundingRect(mask))
        image = fit(ink[np.newaxis], mask[np.newaxis])[0]
        found.append(NormalisedDigit(image, box, float(ink[mask > 0].max()), several))
    return found, are_several


def _central(ink: Array, height: float) -> tuple[Mask | None, bool]:
    """The mask (48, 60) of the components in the middle of a window's ink that may be a digit; None without any.

    Then whether two of them stand side by side, about as tall as each other.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((ink > STRONG * ink.max()).view(np.uint8), connectivity=8)
    left, top, wide, tall = stats[:, :4].T
    right, bottom = left + wide, top + tall
    middle = WINDOW / 2
    own = (np.maximum(wide, tall) > SPECK * height) & ~((tall < FLAT * height) & (wide > 1.5 * tall))
    own &= (left < middle + CENTRAL * height) & (right > middle - CENTRAL * height)
    own[0] = False
    for outer in np.flatnonzero(own):
        inner = own & (left > left[outer]) & (right < right[outer]) & (top > top[outer]) & (bottom < bottom[outer])
        if (inner & (tall > 0.5 * height)).any() or (inner & (tall > 0.4 * tall[outer])).any():
            own[outer] = False  # a circle or a frame around the digit
    as_tall = own & (tall > AS_TALL * tall[own].max(initial=0))
    several = bool(as_tall.any() and left[as_tall].max() >= right[as_tall].min())
    return own[labels].view(np.uint8) if own.any() else None, several
