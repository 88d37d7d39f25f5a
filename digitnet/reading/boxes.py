"""Overlap of boxes. A box is a row (left, top, right, bottom), in pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (N, 4)
Areas = npt.NDArray[np.float64]  # square pixels
Pairs = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]  # the boxes of pair p are those at first[p] and second[p]


def edges(things: Sequence[Any]) -> Boxes:
    """The boxes of things that have the attributes left, top, right and bottom."""
    return np.array([(one.left, one.top, one.right, one.bottom) for one in things], np.float64).reshape(-1, 4)


def middles(boxes: Boxes) -> npt.NDArray[np.float64]:
    """The middle (x, y) of each of `boxes` (N, 4), (N, 2)."""
    return np.asarray(boxes.reshape(-1, 2, 2).mean(1))


def areas(boxes: Boxes) -> Areas:
    """The area of each of `boxes` (..., 4)."""
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(-1))


def shared_areas(ones: Boxes, others: Boxes) -> Areas:
    """The area that `ones` (..., 4) share with `others` (..., 4), whose shapes are broadcast."""
    sides = np.minimum(ones[..., 2:], others[..., 2:]) - np.maximum(ones[..., :2], others[..., :2])
    return np.asarray(np.maximum(sides, 0).prod(-1))


def intersection_over_union(ones: Boxes, others: Boxes) -> Areas:
    """Shared area over joint area, in [0, 1], of `ones` (..., 4) and `others` (..., 4), whose shapes are broadcast."""
    shared = shared_areas(ones, others)
    return np.asarray(shared / (areas(ones) + areas(others) - shared))


def overlapping_pairs(boxes: Boxes) -> Pairs:
    """All pairs of boxes that overlap, both as (a, b) and as (b, a), sorted by the first box, then by the second.

    Time and memory grow with the boxes and with the pairs that stand in one row, not with all pairs: the plane is cut
    into bands about as tall as a box, and in each band a box meets only those that begin between its left and its
    right edge.
    """
    count = len(boxes)
    if count < 2:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    left, top, right, bottom = (boxes - boxes[:, :2].min(0)[[0, 1, 0, 1]]).T
    band_height = max(float(np.median(bottom - top)), float(bottom.max()) / count)
    first_band, last_band = (np.floor(edge / band_height).astype(np.intp) for edge in (top, bottom))
    box, step = _expanded(last_band - first_band + 1)
    band = first_band[box] + step
    order = np.lexsort((left[box], band))
    box, band = box[order], band[order]
    # One sorted number for band and left edge, so that one binary search finds where a box's right edge lies.
    stride = float(right.max()) + 1
    ends = np.searchsorted(band * stride + left[box], band * stride + right[box], side="right")
    one, step = _expanded(np.maximum(ends - np.arange(len(box)) - 1, 0))
    first, second = box[one], box[one + 1 + step]
    # Two boxes may meet in several bands; the pair counts in the first of them.
    meet = band[one] == np.maximum(first_band[first], first_band[second])
    meet &= (top[first] < bottom[second]) & (top[second] < bottom[first]) & (left[second] < right[first])
    ones, others = (np.concatenate([a[meet], b[meet]]) for a, b in ((first, second), (second, first)))
    order = np.lexsort((others, ones))
    return ones[order], others[order]


def partners(pairs: Pairs, count: int) -> list[list[int]]:
    """For each of `count` boxes the boxes that it makes a pair with, in the order of the pairs."""
    found: list[list[int]] = [[] for _ in range(count)]
    for one, other in zip(*(ends.tolist() for ends in pairs), strict=True):
        found[one].append(other)
    return found


def _expanded(counts: npt.NDArray[np.intp]) -> Pairs:
    """For counts such as 2, 0, 3 the owners 0, 0, 2, 2, 2 and their steps 0, 1, 0, 1, 2."""
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners, np.arange(len(owners)) - (np.cumsum(counts) - counts)[owners]


def same_ink(ones: Boxes, others: Boxes) -> npt.NDArray[np.bool_]:
    """Whether `ones` (..., 4) and `others` (..., 4), whose shapes are broadcast, are on the same ink.

    They share a third of their area, or one lies in the other.
    """
    shared, area, other_area = shared_areas(ones, others), areas(ones), areas(others)
    within = shared > 0.7 * np.minimum(area, other_area)
    return np.asarray(within | (shared > 0.35 * (area + other_area - shared)))


def same_ink_groups(boxes: Boxes) -> list[list[int]]:
    """Each of `boxes` (N, 4) that is in no group yet, together with all on the same ink that are in none."""
    first, second = overlapping_pairs(boxes)
    same = same_ink(boxes[first], boxes[second])
    is_free = [True] * len(boxes)
    groups = []
    for index, others in enumerate(partners((first[same], second[same]), len(boxes))):
        if is_free[index]:
            groups.append([index, *(other for other in others if is_free[other])])
            for member in groups[-1]:
                is_free[member] = False
    return groups
