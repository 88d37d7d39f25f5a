"""Overlap of boxes. A box is a row (left, top, right, bottom), in pixels."""

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (N, 4)
Areas = npt.NDArray[np.float64]  # square pixels
Indices = npt.NDArray[np.intp]
Pairs = tuple[Indices, Indices]  # (P,) and (P,): the boxes of pair p are those at first[p] and second[p]


def shared_areas(ones: Boxes, others: Boxes) -> Areas:
    """The area, (N, M), that each of `ones` (N, 4) shares with each of `others` (M, 4)."""
    return _shared(ones[:, np.newaxis], others[np.newaxis])


def areas(boxes: Boxes) -> Areas:
    """The area of each of `boxes` (N, 4)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(-1))


def intersection_over_union(ones: Boxes, others: Boxes) -> Areas:
    """Shared area over joint area, (N, M) in [0, 1], of each of `ones` (N, 4) with each of `others` (M, 4)."""
    shared = shared_areas(ones, others)
    return np.asarray(shared / (areas(ones)[:, np.newaxis] + areas(others) - shared))


def shared_by_pairs(boxes: Boxes, pairs: Pairs) -> Areas:
    """The area, (P,), that the two boxes of each pair share."""
    first, second = pairs
    return _shared(boxes[first], boxes[second])


def overlapping_pairs(boxes: Boxes) -> Pairs:
    """All pairs of boxes that overlap, each once.

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
    box, step = expanded(last_band - first_band + 1)
    band = first_band[box] + step
    order = np.lexsort((left[box], band))
    box, band = box[order], band[order]
    # One sorted number for band and left edge, so that one binary search finds where a box's right edge lies.
    stride = float(right.max()) + 1
    ends = np.searchsorted(band * stride + left[box], band * stride + right[box], side="right")
    one, step = expanded(np.maximum(ends - np.arange(len(box)) - 1, 0))
    first, second = box[one], box[one + 1 + step]
    # Two boxes may meet in several bands; the pair counts in the first of them.
    once = band[one] == np.maximum(first_band[first], first_band[second])
    first, second = first[once], second[once]
    meet = (top[first] < bottom[second]) & (top[second] < bottom[first]) & (left[second] < right[first])
    return first[meet], second[meet]


def both_ways(pairs: Pairs) -> Pairs:
    """Each pair twice, (a, b) and (b, a), sorted by the first box, then by the second."""
    first, second = (np.concatenate(ends) for ends in (pairs, pairs[::-1]))
    order = np.lexsort((second, first))
    return first[order], second[order]


def partners(pairs: Pairs, count: int) -> list[list[int]]:
    """For each of `count` boxes the boxes that it makes a pair with, in rising order."""
    first, second = both_ways(pairs)
    ends = np.cumsum(np.bincount(first, minlength=count)).tolist()
    flat = second.tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def expanded(counts: Indices) -> Pairs:
    """For counts such as 2, 0, 3 the owners 0, 0, 2, 2, 2 and their steps 0, 1, 0, 1, 2."""
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners, np.arange(len(owners)) - (np.cumsum(counts) - counts)[owners]


def _shared(one: Boxes, other: Boxes) -> Areas:
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.asarray(np.maximum(sides, 0).prod(-1))
