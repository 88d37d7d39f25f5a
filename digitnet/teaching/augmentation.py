"""Copies of normalised digits as the same hand might have written them: turned, slanted, wider, thicker, shifted.

Training does the same with tensors (`training.augment`). This needs numpy and OpenCV only.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from digitnet.reading.normalise import SIDE

TURN = 8.0  # degrees; standard deviations of what is drawn at random
SLANT = 0.12  # pixels to the right for each pixel up
STRETCH = 0.07  # natural logarithm of width and of height
SHIFT = 0.6  # pixels
STROKE = 0.6  # how much of one dilation or erosion
KERNEL = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

Images = npt.NDArray[np.float32]  # (N, 28, 28) in [0, 1]


def augmented(images: Images, copies: int, seed: int = 0) -> Images:
    """`images` (N, 28, 28), each followed by its copies: (N * (1 + copies), 28, 28). The same at every call."""
    rng = np.random.default_rng(seed)
    found = [digit for image in images for digit in (image, *(_copy(image, rng) for _ in range(copies)))]
    return np.array(found, np.float32).reshape(-1, SIDE, SIDE)


def _copy(image: Images, rng: np.random.Generator) -> Images:
    turn, slant, wide, high, right, down, stroke = rng.standard_normal(7).tolist()
    angle = math.radians(TURN * turn)
    width, height = math.exp(STRETCH * wide), math.exp(STRETCH * high)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = rotation @ np.array([[width, -SLANT * slant], [0, height]])
    middle = np.full(2, (SIDE - 1) / 2)
    shift = middle - linear @ middle + np.array([SHIFT * right, SHIFT * down])
    size = (SIDE, SIDE)
    warped = cv2.warpAffine(image, np.column_stack([linear, shift]), size, flags=cv2.INTER_LINEAR)
    share = min(1.0, abs(STROKE * stroke))
    other = cv2.dilate(warped, KERNEL) if stroke > 0 else cv2.erode(warped, KERNEL)
    return np.asarray((1 - share) * warped + share * other, np.float32)
