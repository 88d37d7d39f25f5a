"""A picture of one digit to what DigitNet was trained on: (28, 28), bright ink on dark, in [0, 1].

MNIST was made in this way (LeCun et al., 1998): the digit is scaled into a 20x20 box, its aspect kept, and placed so
that its centre of mass falls on the middle of 28x28 pixels. This file is the only home of these numbers. `ink.py` finds
the digit first.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digitnet.reading.ink import ALIKE, NEIGHBOURS, STRONG, Array, Mask, is_small, large_ink, small_ink
from digitnet.results import Box

SIDE = 28
BOX_SIDE = 20
VERSION = 1  # of this normalisation; each model file names the version that it was measured with

DETAIL_SIDE = 384  # pixels; larger pictures are reduced to this before ink is searched for
PIECE = 0.2  # of the largest component's size; a smaller one is a speck or the gap of a broken stroke
THINNEST_STROKE = 1.2  # pixels of the 20x20 box; MNIST's own strokes are mostly 2 to 4 wide


@dataclass(frozen=True)
class NormalisedDigit:
    """A digit as DigitNet sees it.

    Attributes:
        image: (28, 28) float32 in [0, 1], ink bright on dark.
        box: where its ink lies, in pixels of the picture.
        strength: the largest fraction of the paper's brightness that its ink takes away, in [0, 1].
        several: whether the picture holds other ink that is as much like a digit.
        alone: whether the picture is small (see `ink.is_small`) and this is all of its ink but for grain.
        whole: whether its ink hangs together, and no other ink is about as tall. A circle or a line that was taken for
            part of the digit does not hang together with it.
    """

    image: Array
    box: Box
    strength: float
    several: bool
    alone: bool = False
    whole: bool = True


def normalise(grey: Array) -> NormalisedDigit | None:
    """The most digit-like ink of a picture, normalised; None for a blank picture.

    Args:
        grey: (H, W) float32 in [0, 1], 1 is white; the longer side has at least 8 pixels.
    """
    return normalise_stack(grey[np.newaxis])[0]


def normalise_stack(greys: Array) -> list[NormalisedDigit | None]:
    """`normalise` for pictures of one size, (N, H, W). For small ones this is much quicker than one by one."""
    if not is_small(greys.shape[1:]):
        return [_normalise_large(grey) for grey in greys]
    inks, masks, several, alone = small_ink(greys)
    inked = np.nonzero(masks.any((1, 2)))[0]
    found: list[NormalisedDigit | None] = [None] * len(greys)
    if len(inked):
        masks = np.ascontiguousarray(masks[inked])
        images = fit(inks[inked], masks)
        strengths = inks[inked].max((1, 2)).tolist()
        for index, image, mask, strength in zip(inked.tolist(), images, masks, strengths, strict=True):
            box = Box(*cv2.boundingRect(mask))
            found[index] = NormalisedDigit(image, box, strength, bool(several[index]), bool(alone[index]))
    return found


def _normalise_large(grey: Array) -> NormalisedDigit | None:
    ink, mask, several = large_ink(_reduced(grey))
    if mask is None:
        return None
    box = _box(mask, grey.shape)
    strength = float(ink[mask > 0].max())
    return NormalisedDigit(
        fit(ink[np.newaxis], mask[np.newaxis])[0],
        box,
        strength,
        several,
        whole=_hangs_together(mask) and not _has_rival(ink, mask),
    )


def _has_rival(ink: Array, mask: Mask) -> bool:
    """Whether other ink of a picture (H, W) is about as tall as its digit and stands free, such as a plain 1 beside it.

    The ink finder may have taken it for a printed line. Lines of forms are longer, or end at the border.
    """
    height, width = mask.shape
    tall = cv2.boundingRect(mask)[3]
    strong = (ink > STRONG * ink[mask > 0].max()).view(np.uint8)
    strong[cv2.dilate(mask, NEIGHBOURS) > 0] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=8)
    x, y, w, h, _ = stats[1:].T
    is_free = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    return bool((is_free & (h > ALIKE * tall) & (h < tall / ALIKE)).any())


def _hangs_together(mask: Mask) -> bool:
    """Whether all of a mask (H, W) but specks is one connected component."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    sizes = stats[1:, 2:4].max(1)
    return int((sizes > PIECE * sizes.max(initial=0)).sum()) == 1


def _reduced(grey: Array) -> Array:
    """The picture with at most `DETAIL_SIDE` pixels a side."""
    height, width = grey.shape
    reduction = max(height, width) / DETAIL_SIDE
    if reduction <= 1:
        return grey
    size = (max(8, round(width / reduction)), max(8, round(height / reduction)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def _box(mask: Mask, shape: tuple[int, ...]) -> Box:
    """The mask's bounding box, in pixels of a picture of `shape` (H, W)."""
    x, y, w, h = cv2.boundingRect(mask)
    scale_x, scale_y = shape[1] / mask.shape[1], shape[0] / mask.shape[0]
    return Box(round(x * scale_x), round(y * scale_y), max(1, round(w * scale_x)), max(1, round(h * scale_y)))


def fit(inks: Array, masks: Mask) -> Array:
    """The masked ink as MNIST would hold it, (N, 28, 28) in [0, 1], for `inks` and `masks` (N, H, W)."""
    count, height, width = inks.shape
    # The upper quartile of the strokes counts as full ink. Weaker ink belongs to their soft edges.
    levels = np.where(masks > 0, inks, np.float32(2)).reshape(count, -1)
    levels.sort(axis=1)
    full = levels[np.arange(count), masks.reshape(count, -1).sum(1, dtype=np.intp) * 3 // 4]
    framed = np.zeros((count, height + 2, width), np.uint8)  # an empty row on either side keeps the digits apart
    framed[:, 1:-1] = masks
    around = cv2.dilate(framed.reshape(-1, width), NEIGHBOURS).reshape(framed.shape)[:, 1:-1]
    scaled = np.minimum(inks * around / np.maximum(full, 1e-3)[:, None, None], 1)
    digits = np.zeros((count, BOX_SIDE, BOX_SIDE), np.float32)
    sizes = []
    for digit, ink, mask in zip(digits, scaled, masks, strict=True):
        x, y, w, h = cv2.boundingRect(mask)
        scale = BOX_SIDE / max(w, h)
        across, down = max(1, round(w * scale)), max(1, round(h * scale))
        crop = ink[y : y + h, x : x + w]
        if scale < 1:
            crop = _thickened(crop, mask[y : y + h, x : x + w], THINNEST_STROKE / scale)
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        digit[:down, :across] = cv2.resize(crop, (across, down), interpolation=smooth)
        sizes.append((down, across))
    np.maximum(digits, 0, out=digits)  # cubic interpolation swings below 0
    digits /= np.maximum(digits.max((1, 2)), 1e-3)[:, None, None]
    return _centred(digits, sizes)


def _thickened(crop: Array, mask: Mask, width: float) -> Array:
    """The ink with strokes at least `width` pixels wide. Thinner ones would fade away when the crop is reduced."""
    grow = round((width - _stroke_width(mask)) / 2)
    if grow <= 0:
        return crop
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    return np.asarray(cv2.dilate(crop, kernel), np.float32)


def _stroke_width(mask: Mask) -> float:
    """Width of the strokes, in pixels. In a stroke of width w, the mean distance to the edge is about w / 4 + 1 / 2."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, 3)
    return max(1.0, 4 * float(distance[framed > 0].mean()) - 2)


def _centred(digits: Array, sizes: list[tuple[int, int]]) -> Array:
    """The digits as (N, 28, 28), each with its centre of mass at the middle.

    Args:
        digits: (N, 20, 20), each in the top left corner.
        sizes: height and width of each, at most 20.
    """
    axis = np.arange(BOX_SIDE, dtype=np.float32)
    mass = np.maximum(digits.sum((1, 2)), 1e-6)
    centre_y = (digits.sum(2) @ axis / mass).tolist()
    centre_x = (digits.sum(1) @ axis / mass).tolist()
    middle = (SIDE - 1) / 2
    images = np.zeros((len(digits), SIDE, SIDE), np.float32)
    for image, digit, (height, width), y, x in zip(images, digits, sizes, centre_y, centre_x, strict=True):
        top = min(max(round(middle - y), 0), SIDE - height)
        left = min(max(round(middle - x), 0), SIDE - width)
        image[top : top + height, left : left + width] = digit[:height, :width]
    return images
