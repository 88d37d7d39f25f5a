"""Shapes thinned to lines."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]


def skeletons(masks: Mask) -> Mask:
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
