"""The ink of the one digit in a picture: remove paper and light, then drop whatever is not the digit.

Pictures are (H, W) float32 in [0, 1], where 1 is white. Several pictures of one size are a stack (N, H, W). Ink is
0 on bare paper and at most 1. Lengths are fractions of the size of the picture or the digit wherever possible.
"""

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

SMALL_SIDE = 64  # pixels; see `is_small`
STRONG = 0.3  # of the strongest ink; anything weaker is a shade of the paper
FAINTEST = 0.04  # of the paper's brightness; anything that differs less from the paper is no ink
ALIKE = 0.6  # of the digit's height; anything smaller beside it is no second digit
GRAIN = 0.06  # of the digit's size; smaller ink beside it is grain of the paper or the sensor
FLAT_WINDOW = 21  # pixels of a strip
NEIGHBOURS = np.ones((3, 3), np.uint8)


def is_small(shape: tuple[int, ...]) -> bool:
    """Whether a picture of this shape (H, W) is so small that it was cropped or drawn around its digit."""
    return max(shape) <= SMALL_SIDE


def small_ink(greys: Array) -> tuple[Array, Mask, Flags, Flags]:
    """The ink of small pictures and the masks of their digits, both (N, H, W).

    Also whether each has several digits, and whether its digit is all of its ink but for grain, both (N,). The mask of
    a blank picture is empty.
    """
    inks = small_ink_maps(greys)
    count, height, width = inks.shape
    peaks = inks.max((1, 2))
    # One call labels the components of all masks. They are stacked with an empty row after each.
    stacked = np.zeros((count, height + 1, width), np.uint8)
    stacked[:, :height] = inks > (STRONG * peaks)[:, None, None]
    masks = stacked[:, :height]
    _, _, stats, _ = cv2.connectedComponentsWithStats(stacked.reshape(-1, width), connectivity=8)
    x, y, w, h, _ = stats[1:].T
    picture, y = np.divmod(y, height + 1)
    whole = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    # In most pictures there is no choice to make: one component, which is not cut off.
    clear = (np.bincount(picture, minlength=count) == 1) & (np.bincount(picture[whole], minlength=count) == 1)
    several = np.zeros(count, np.bool_)
    alone = np.ones(count, np.bool_)
    for index in np.nonzero(~clear | (peaks < FAINTEST))[0]:
        mask, several[index] = digit_mask(inks[index])
        if mask is not None:
            alone[index] = not _holds_more(masks[index], mask)
        masks[index] = 0 if mask is None else mask
    return inks, masks, several, alone


def _holds_more(strong: Mask, digit: Mask) -> bool:
    """Whether a picture's strong ink (H, W) holds anything but its digit (H, W) and grain."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.subtract(strong, digit), connectivity=8)
    return bool(stats[1:, 2:4].max(initial=0) > GRAIN * max(cv2.boundingRect(digit)[2:]))


def small_ink_maps(greys: Array) -> Array:
    """How much ink lies on each pixel, (N, H, W) in [0, 1], of pictures that were cropped or drawn around their digit.

    Most of the border of such a picture is paper. Ink may be darker or lighter: whichever differs from it most.
    """
    count = len(greys)
    border = np.concatenate([greys[:, 0], greys[:, -1], greys[:, :, 0], greys[:, :, -1]], axis=1)
    border.sort(axis=1)
    paper = border[:, border.shape[1] // 2]
    darker = paper[:, None, None] - greys
    is_dark = _cubes(darker.reshape(count, -1)) >= 0
    darker *= np.where(is_dark, np.float32(1), np.float32(-1))[:, None, None]
    return np.maximum(darker, 0)


def large_ink(grey: Array) -> tuple[Array, Mask | None, bool]:
    """The ink of a picture and the mask of its digit, both (H, W), and whether there are several digits.

    The mask of a blank picture is None.
    """
    ink = large_ink_map(grey)
    return ink, *digit_mask(ink)


def large_ink_map(grey: Array) -> Array:
    """How much ink lies on each pixel, (H, W) in [0, 1], for dark ink on light paper and for light on dark.

    The picture tells which of the two it is.
    """
    dark = _ink_is_dark(grey)
    if not dark:
        grey = 1 - grey
    smooth: Array = np.asarray(cv2.GaussianBlur(grey, (0, 0), max(0.5, max(grey.shape) / 384)), np.float32)
    paper = _paper(smooth)
    ink = paper - smooth
    if dark:  # ink absorbs a fraction of the light, so the same ink differs less from the paper in a shadow
        ink /= np.maximum(paper, 0.15)
    return np.asarray(np.clip(ink - _median(ink), 0, 1), np.float32)


def flattened(grey: Array) -> Array:
    """A strip (48, W) in [0, 1] as dark ink on white paper, without shadows and without the edge of a desk."""
    dark = _ink_is_dark(grey)
    upright = grey if dark else 1 - grey
    window = np.ones((FLAT_WINDOW, FLAT_WINDOW), np.uint8)
    paper = cv2.morphologyEx(upright, cv2.MORPH_CLOSE, window, borderType=cv2.BORDER_REPLICATE)
    ink = paper - upright
    if dark:
        ink /= np.maximum(paper, 0.15)
    return np.asarray(1 - np.clip(ink, 0, 1), np.float32)


def _median(values: Array) -> float:
    """As np.median, in a third of its time."""
    ordered = np.sort(values, axis=None)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / np.float32(2))


def _cubes(differences: Array) -> Array:
    """The sum of the cubes in each row of (N, pixels). The largest differences decide its sign."""
    sums: Array = np.einsum("np,np,np->n", differences, differences, differences)
    return sums


def _ink_is_dark(grey: Array) -> bool:
    """Whether the ink is darker than the paper.

    The paper is the median of a wide window: even a bold digit covers less than half of it, and the median follows
    light that changes slowly across the picture. Cubes give strong differences the greater weight.
    """
    reduction = max(1.0, max(grey.shape) / 96)
    size = (max(4, round(grey.shape[1] / reduction)), max(4, round(grey.shape[0] / reduction)))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA) * 255, np.uint8)
    reach = max(1, max(small.shape) // 3)
    paper = cv2.medianBlur(small, 2 * reach + 1)  # carries the picture's border on by itself
    return bool(_cubes((paper.astype(np.float32) - small).reshape(1, -1))[0] >= 0)


def _paper(grey: Array) -> Array:
    """The paper under dark ink: a closing, which fills everything that is narrower than its window (Serra, 1982).

    The window is wider than the stroke of a marker. Shadows and table tops are wider than the window, so they stay. The
    border of the picture is repeated outwards, so shadows and table tops need not lie inside it whole.
    """
    side = max(3, max(grey.shape) // 3) | 1
    framed = cv2.copyMakeBorder(grey, side, side, side, side, cv2.BORDER_REPLICATE)
    window = np.ones((side, side), np.uint8)
    closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, window)
    return np.asarray(closed[side:-side, side:-side], np.float32)


def digit_mask(ink: Array) -> tuple[Mask | None, bool]:
    """The mask of the digit, (H, W) of 0 and 1, and whether there are several digits. Without ink the mask is None."""
    small = is_small(ink.shape)
    # The grain of the paper is spread evenly around its median, which is 0 in `ink`. So where ink covers less than a
    # third of the picture, the 60th percentile is about a quarter of the standard deviation of the grain.
    noise = 0.0 if small else float(np.percentile(ink, 60)) / 0.2533
    peak = float((ink if small else cv2.GaussianBlur(ink, (3, 3), 0)).max())
    if peak < max(FAINTEST, 4 * noise):
        return None, False
    strong = (ink > max(STRONG * peak, 2 * noise)).view(np.uint8)
    if not small:
        strong = without_lines(without_lines(strong).T).T
    return components_of_digit(np.ascontiguousarray(strong))


def without_lines(mask: Mask) -> Mask:
    """The mask without the horizontal lines that were printed on the paper.

    A printed line runs straight from one side of the picture to the other, and further than all other ink on both
    sides. The bar of a 7 that fills its picture does not. Strokes that cross a line stay whole.
    """
    height, width = mask.shape
    steep = cv2.dilate(mask, np.ones((3, 1), np.uint8))  # so that a slightly tilted line still counts as straight
    straight = cv2.morphologyEx(steep, cv2.MORPH_OPEN, np.ones((1, width // 3), np.uint8))
    if not straight.any():
        return mask
    margin = max(2, width // 30)
    thickest = max(5, height // 25)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(straight, connectivity=8)
    crosses = stats[:, 0] <= margin
    crosses &= stats[:, 0] + stats[:, 2] >= width - margin
    crosses &= stats[:, 4] <= thickest * stats[:, 2]
    crosses[0] = False
    upright = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((thickest + 1, 1), np.uint8))
    rest: Mask = (mask & ~(crosses[labels] & (upright == 0))).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=8)
    other = stats[1:][np.maximum(stats[1:, 2], stats[1:, 3]) > 0.1 * max(mask.shape)]
    if not len(other) or other[:, 0].min() < 2 * margin or (other[:, 0] + other[:, 2]).max() > width - 2 * margin:
        return mask
    return rest


def components_of_digit(mask: Mask) -> tuple[Mask | None, bool]:
    """The connected components of a mask (H, W) that make up its digit, and whether another one may also be a digit.

    The digit is the largest component around the middle, with the smaller ones near it.
    """
    height, width = mask.shape
    joined = mask if is_small(mask.shape) else cv2.dilate(mask, NEIGHBOURS)
    total, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if total == 1:
        return None, False
    x, y, w, h, area = (stats[1:, index].astype(np.float32) for index in range(5))
    touches = (x == 0) | (y == 0) | (x + w == width) | (y + h == height)
    off_centre = np.hypot((x + w / 2) / width - 0.5, (y + h / 2) / height - 0.5)
    # The border cuts off a neighbour's stroke or the edge of a page. A digit that fills its picture touches the border
    # too, but it lies around the middle.
    foreign = touches & (off_centre > 0.25)
    best = int((np.hypot(w, h) * (1 - 0.7 * off_centre) * np.where(foreign, 0.3, 1.0)).argmax())
    size = max(w[best], h[best])
    shared = np.minimum(x + w, x[best] + w[best]) - np.maximum(x, x[best])
    above_or_below = shared > 0.3 * w
    aside = np.maximum(x - (x[best] + w[best]), x[best] - (x + w))
    away = np.maximum(y - (y[best] + h[best]), y[best] - (y + h))
    gap = np.maximum(np.maximum(aside, away), 0)
    large_enough = np.maximum(w, h) >= np.where(above_or_below, 0.12, 0.3) * size
    chosen = large_enough & (gap < 0.25 * size) & ~foreign & (above_or_below | ~touches)
    chosen[best] = True
    digit: Mask = (np.concatenate([[False], chosen])[labels] & (mask > 0)).view(np.uint8)
    alike = (h > ALIKE * h[best]) & (area > ALIKE / 2 * area[best]) & (gap < 2 * size)
    return digit, bool((alike & ~chosen & ~foreign & ~touches).any())
