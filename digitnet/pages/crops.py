"""Crops: each detection cut out of the page without its neighbours, and normalised as DigitNet sees it.

`imaging.ink` searches the one digit of a picture wherever it is. Here the place and the size are known: a threshold
inside the box tells ink from paper, and of the connected components those that lie mostly in the box are kept.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from digitnet.imaging.ink import FAINTEST, Array, Mask, large_ink_map
from digitnet.imaging.normalise import SIDE, fit
from digitnet.pages.detect import Detection
from digitnet.pages.work import IsCancelled, share_out

TALL = 48  # pixels; a crop is scaled so that its digit has this height
AROUND = 0.5  # heights of a digit; so much of the page is looked at on each side of it
SPARE = 0.12  # heights; a detection's box may be wrong by so much
STROKE = 0.4  # of the ink's full strength in the box; weaker pixels are paper
OWN = 0.5  # a component belongs to the detection whose box holds this much of it
FREE = 0.97  # of a digit's ink lies in its box; less is a piece of something larger
SPECK = 0.004  # of the box; a smaller component is paper's grain
FEW = 8  # so few crops are done before other threads have begun
SHARE = 4  # crops that one thread makes at a time

Shares = npt.NDArray[np.float64]  # (N,) in [0, 1]


def crops(
    grey: Array,
    detections: Sequence[Detection],
    is_cancelled: IsCancelled | None = None,
    *,
    threads: int | None = None,
) -> tuple[Array, Shares]:
    """The detections on a page (H, W) in [0, 1] as normalised images (N, 28, 28), and how free they stand (N,).

    An image is empty where its box holds no ink. A detection stands free, 1, where all of its ink lies in its box. It
    is 0.6, for example, where two fifths of the ink go on outside, into a neighbour or a printed line.

    Args:
        threads: how many may work on them; None for one on each core.

    Raises CancelledError where `is_cancelled` says True.
    """
    images = np.zeros((len(detections), SIDE, SIDE), np.float32)
    free = np.zeros(len(detections))

    def make(share: slice) -> None:
        for index in range(share.start, share.stop):
            images[index], free[index] = _crop(grey, detections[index])

    share = SHARE if len(detections) > FEW else FEW
    share_out(make, len(detections), share, is_cancelled, threads=threads)
    return images, free


def _crop(grey: Array, detection: Detection) -> tuple[Array, float]:
    ink, box = _ink_around(grey, detection)
    mask, free = _own_strokes(ink, box)
    if not mask.any():
        return np.zeros((SIDE, SIDE), np.float32), 0.0
    return fit(ink[box][np.newaxis], mask[np.newaxis])[0], free


def _ink_around(grey: Array, detection: Detection) -> tuple[Array, tuple[slice, slice]]:
    """The ink of the detection and of its surroundings, in [0, 1], and the detection's box in it."""
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

    def span(start: float, end: float, origin: int) -> slice:
        return slice(max(0, round((start - spare - origin) * scale)), max(1, round((end + spare - origin) * scale)))

    return large_ink_map(near), (
        span(detection.top, detection.bottom, top),
        span(detection.left, detection.right, left),
    )


def _own_strokes(ink: Array, box: tuple[slice, slice]) -> tuple[Mask, float]:
    """The pixels in the box that belong to its digit, and the share of their components that lies in the box.

    These are the components that lie mostly in the box.
    """
    inside = ink[box]
    full = _quantile(inside, 0.97) if inside.size else 0.0
    if full < FAINTEST / 2:
        return np.zeros(inside.shape, np.uint8), 0.0
    count, labels = cv2.connectedComponents((ink > STROKE * full).view(np.uint8), connectivity=8)
    everywhere, within = (np.bincount(part.ravel(), minlength=count) for part in (labels, labels[box]))
    own = (within > OWN * everywhere) | (within > 0.3 * within[1:].max(initial=1))
    own &= within > SPECK * inside.size
    own[0] = False
    mask: Mask = own[labels[box]].view(np.uint8)
    return mask, float(within[own].sum() / max(1, everywhere[own].sum()))


def _quantile(values: Array, part: float) -> float:
    """As np.quantile, in a sixth of its time."""
    ordered = np.sort(values, axis=None)
    place = part * (len(ordered) - 1)
    return float(np.interp(place % 1, (0, 1), (ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)])))
