"""Digits on a page as DigitNet sees them: each cut out of the page, without its neighbours, normalised.

`ink.py` looks for the one digit of a picture wherever it is. Here its place and size are known, so ink is what is dark,
or light, inside of its box, and what belongs to its neighbours is what lies mostly outside.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from digitnet.imaging.ink import FAINTEST, Array, Mask, large_ink_map
from digitnet.imaging.normalise import SIDE, fit
from digitnet.pages.detect import Detection

TALL = 48  # pixels; a digit is looked at in this height
AROUND = 0.5  # heights of a digit; so much of the page is looked at on each side of it
SPARE = 0.12  # heights; a detection's box may be wrong by so much
STROKE = 0.4  # of the ink's full strength in the box; what is weaker is paper
OWN = 0.5  # a piece of ink belongs to the detection whose box holds this much of it
SPECK = 0.004  # of the box; a smaller piece of ink is paper's grain
FEW = 8  # detections are done before other threads have begun


def crops(grey: Array, detections: list[Detection]) -> Array:
    """The detections on a page (H, W) in [0, 1] as normalised images (N, 28, 28); empty where a box holds no ink."""
    if not detections:
        return np.zeros((0, SIDE, SIDE), np.float32)
    if len(detections) <= FEW:
        return np.stack([_crop(grey, detection) for detection in detections])
    # OpenCV and numpy let other threads run while they compute.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(lambda detection: _crop(grey, detection), detections)))


def _crop(grey: Array, detection: Detection) -> Array:
    ink, box = _ink_around(grey, detection)
    mask = _own_strokes(ink, box)
    return fit(ink[np.newaxis], mask[np.newaxis])[0] if mask.any() else np.zeros((SIDE, SIDE), np.float32)


def _ink_around(grey: Array, detection: Detection) -> tuple[Array, tuple[slice, slice]]:
    """The ink of the detection and of what is near it, in [0, 1], and where in it its box lies."""
    height, width = grey.shape
    size = max(detection.height, 0.5 * detection.width)
    left, top = max(0, int(detection.left - AROUND * size)), max(0, int(detection.top - AROUND * size))
    right, bottom = (
        min(width, int(detection.right + AROUND * size) + 2),
        min(height, int(detection.bottom + AROUND * size) + 2),
    )
    scale = TALL / size
    shape = max(8, round((right - left) * scale)), max(8, round((bottom - top) * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    near = np.asarray(cv2.resize(grey[top:bottom, left:right], shape, interpolation=smooth), np.float32)
    spare = SPARE * size

    def part(start: float, end: float, origin: int) -> slice:
        return slice(max(0, round((start - spare - origin) * scale)), max(1, round((end + spare - origin) * scale)))

    return large_ink_map(near), (
        part(detection.top, detection.bottom, top),
        part(detection.left, detection.right, left),
    )


def _own_strokes(ink: Array, box: tuple[slice, slice]) -> Mask:
    """The pixels of the digit in the box: the pieces of ink that lie in it for the most part, cut where they leave."""
    inside = ink[box]
    mask = np.zeros(ink.shape, np.uint8)
    full = float(np.quantile(inside, 0.97)) if inside.size else 0.0
    if full < FAINTEST / 2:
        return mask
    strong = (ink > STROKE * full).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=8)
    within = np.bincount(labels[box].ravel(), minlength=count)
    own = (within > OWN * stats[:, 4]) | (within > 0.3 * within[1:].max(initial=1))
    own &= within > SPECK * inside.size
    own[0] = False
    mask[box] = own[labels[box]]
    return mask
