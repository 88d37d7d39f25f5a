"""Overlap of boxes. A box is a row (left, top, right, bottom), in pixels."""

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (N, 4)


def shared_areas(ones: Boxes, others: Boxes) -> Boxes:
    """The area, (N, M), that each of `ones` (N, 4) shares with each of `others` (M, 4), in square pixels."""
    one, other = ones[:, np.newaxis], others[np.newaxis]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.asarray(np.maximum(sides, 0).prod(-1))


def areas(boxes: Boxes) -> Boxes:
    """The area of each of `boxes` (N, 4), in square pixels."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(-1))


def intersection_over_union(ones: Boxes, others: Boxes) -> Boxes:
    """Shared area over joint area, (N, M) in [0, 1], of each of `ones` (N, 4) with each of `others` (M, 4)."""
    shared = shared_areas(ones, others)
    return np.asarray(shared / (areas(ones)[:, np.newaxis] + areas(others) - shared))
