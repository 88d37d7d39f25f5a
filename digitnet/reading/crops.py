"""Digits of a strip, cut out for DigitNet: each one's ink between its neighbours, in one or two ways.

The line reader says in which columns a digit stands. What else stands there, such as a circle around it, an underline,
a bracket or the frame of a cell, may be taken for its ink. So a second crop leaves out components that look like that.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from digitnet.reading.contrast import Grey
from digitnet.reading.decode import ReadDigit
from digitnet.reading.ink import STRONG, Array, Mask, small_ink_maps
from digitnet.reading.normalise import NormalisedDigit, fit, normalise_stack
from digitnet.reading.strips import HEIGHT, STRIDE, Strip
from digitnet.results import Box

WINDOW = 60  # pixels of a strip; the width of the window in which a digit's ink is searched
REACH = 1.0  # heights; the window reaches no further from the digit's middle on either side
# Of the usual height of a digit:
FLAT = 0.22  # a component that is lower than this and wider than tall is a line
SPECK = 0.12  # a smaller component is dust
CENTRAL = 0.25  # the digit's own components come so near to its middle


def crops(strip: Strip, digits: Sequence[ReadDigit]) -> list[tuple[NormalisedDigit, ...]]:
    """What DigitNet may be shown of each digit of a strip; the boxes are in pixels of the strip. None without ink."""
    if not digits:
        return []
    cut_out = [_window(strip, digit) for digit in digits]
    windows = np.stack([window for window, _ in cut_out])
    alike = normalise_stack(windows)
    alone = _without_surroundings(windows, strip.height)
    found = []
    for (_, shift), *ways in zip(cut_out, alike, alone, strict=True):
        different = [way for way in ways if way is not None]
        if len(different) == 2 and different[0].box == different[1].box:
            different.pop()
        found.append(tuple(replace(way, box=replace(way.box, x=way.box.x + shift)) for way in different))
    return found


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


def _without_surroundings(windows: Array, height: float) -> list[NormalisedDigit | None]:
    """The digit in the middle of each of `windows` (N, 48, 60), without lines, and without what stands around it."""
    found: list[NormalisedDigit | None] = []
    for ink in small_ink_maps(windows):
        mask = _central(ink, height)
        if mask is None:
            found.append(None)
            continue
        box = Box(*cv2.boundingRect(mask))
        image = fit(ink[np.newaxis], mask[np.newaxis])[0]
        found.append(NormalisedDigit(image, box, float(ink[mask > 0].max()), several=False))
    return found


def _central(ink: Array, height: float) -> Mask | None:
    """The mask (48, 60) of the components in the middle of a window's ink that may be a digit; None without any."""
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
    return own[labels].view(np.uint8) if own.any() else None
