"""The ink of the one digit in a picture: paper and light taken away, then whatever is not the digit dropped.

Pictures are (H, W) float32 in [0, 1], 1 is white; several of one size come as a stack (N, H, W). Ink is 1 where it is
strongest and 0 on bare paper. Metrics are fractions of the picture's or the digit's size wherever they can be.
"""

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

SMALL_SIDE = 64  # pixels; a picture up to this size was cut or drawn around its digit
STRONG = 0.3  # of the strongest ink; what is weaker is a shade of the paper
FAINTEST = 0.04  # ink that takes away less of the paper's brightness than this is no ink
FRAME_FILL = 0.2  # a printed frame covers less of its box than this
ALIKE = 0.6  # of the digit's height; what is smaller beside it is no second digit
NEIGHBOURS = np.ones((3, 3), np.uint8)


def small_ink(greys: Array) -> tuple[Array, Mask, Flags]:
    """Of small pictures: ink and the digits' masks, both (N, H, W), and whether there are several digits, (N,).

    A blank picture's mask is empty.
    """
    inks = small_ink_maps(greys)
    count, height, width = inks.shape
    peaks = inks.max((1, 2))
    # All masks go through one labelling, stacked with an empty row between each two.
    stacked = np.zeros((count, height + 1, width), np.uint8)
    stacked[:, :height] = inks > (STRONG * peaks)[:, None, None]
    masks = stacked[:, :height]
    _, _, stats, _ = cv2.connectedComponentsWithStats(stacked.reshape(-1, width), connectivity=8)
    x, y, w, h, area = stats[1:].T
    picture, y = np.divmod(y, height + 1)
    whole = (x > 0) & (y > 0) & (x + w < width) & (y + h < height) & (area >= FRAME_FILL * w * h)
    # The common case needs no choice: a single part, not cut off, and no frame.
    clear = (np.bincount(picture, minlength=count) == 1) & (np.bincount(picture[whole], minlength=count) == 1)
    several = np.zeros(count, np.bool_)
    for index in np.nonzero(~clear | (peaks < FAINTEST))[0]:
        mask, several[index] = digit_mask(inks[index])
        masks[index] = 0 if mask is None else mask
    return inks, masks, several


def small_ink_maps(greys: Array) -> Array:
    """How much ink lies on each pixel, (N, H, W) in [0, 1], of pictures that were cut or drawn around their digit.

    Most of such a picture's border is paper, and the ink is what differs from it most.
    """
    count = len(greys)
    border = np.concatenate([greys[:, 0], greys[:, -1], greys[:, :, 0], greys[:, :, -1]], axis=1)
    border.sort(axis=1)
    paper = border[:, border.shape[1] // 2]
    darker = paper[:, None, None] - greys
    darker *= np.where(_cubes(darker.reshape(count, -1)) >= 0, np.float32(1), np.float32(-1))[:, None, None]
    return np.maximum(darker, 0)


def large_ink(grey: Array) -> tuple[Array, Mask | None, bool]:
    """Of a picture of paper: ink and the digit's mask, both (H, W), and whether there are several digits.

    None stands instead of the mask of a blank picture.
    """
    ink = large_ink_map(grey)
    return ink, *digit_mask(ink)


def large_ink_map(grey: Array) -> Array:
    """How much ink lies on each pixel, (H, W) in [0, 1], whichever way round ink and paper are."""
    dark = _ink_is_dark(grey)
    if not dark:
        grey = 1 - grey
    smooth: Array = np.asarray(cv2.GaussianBlur(grey, (0, 0), max(0.5, max(grey.shape) / 384)), np.float32)
    paper = _paper(smooth)
    ink = paper - smooth
    if dark:  # ink takes away a part of the light, so the same ink shows less in a shadow
        ink /= np.maximum(paper, 0.15)
    return np.asarray(np.clip(ink - _median(ink), 0, 1), np.float32)


def _median(values: Array) -> np.float32:
    """As np.median, in a third of its time."""
    ordered = np.sort(values, axis=None)
    median: np.float32 = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / np.float32(2)
    return median


def _cubes(differences: Array) -> Array:
    """The sum of the third powers in each row of (N, pixels): its sign is the sign of what stands out most."""
    sums: Array = np.einsum("np,np,np->n", differences, differences, differences)
    return sums


def _ink_is_dark(grey: Array) -> bool:
    """Whether what stands out from the paper is darker than it.

    The paper is the median of a window so wide that even a bold digit covers less than half of it, while light that
    changes slowly across the picture changes with it. The third power lets strong differences vote.
    """
    reduction = max(1.0, max(grey.shape) / 96)
    size = (max(4, round(grey.shape[1] / reduction)), max(4, round(grey.shape[0] / reduction)))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA) * 255, np.uint8)
    reach = max(1, max(small.shape) // 3)
    paper = cv2.medianBlur(small, 2 * reach + 1)  # carries the picture's border on by itself
    return bool(_cubes((paper.astype(np.float32) - small).reshape(1, -1))[0] >= 0)


def _paper(grey: Array) -> Array:
    """The paper under dark ink: a closing, which fills whatever is narrower than its window (Serra, 1982).

    The window is wider than a marker's stroke; shadows and table tops are wider still and stay what they are. The
    picture's border is carried on, so that they need not fit inside it.
    """
    side = max(3, max(grey.shape) // 3) | 1
    framed = cv2.copyMakeBorder(grey, side, side, side, side, cv2.BORDER_REPLICATE)
    window = np.ones((side, side), np.uint8)
    closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, window)
    return np.asarray(closed[side:-side, side:-side], np.float32)


def digit_mask(ink: Array) -> tuple[Mask | None, bool]:
    """The pixels of the digit, (H, W) of 0 and 1, and whether there are others like it; None where there is no ink."""
    small = max(ink.shape) <= SMALL_SIDE
    # Paper's grain leaves as much above the median as below it, so 60 % of all pixels lie under a quarter of its
    # standard deviation, wherever ink covers less than a third of the picture.
    noise = 0.0 if small else float(np.percentile(ink, 60)) / 0.2533
    best: _Parts | None = None
    for _ in range(3):  # what is no digit may be stronger than the digit: drop it and look again
        peak = float((ink if small else cv2.GaussianBlur(ink, (3, 3), 0)).max())
        if peak < max(FAINTEST, 4 * noise):
            break
        strong = (ink > max(STRONG * peak, 2 * noise)).view(np.uint8)
        if not small:
            strong = without_lines(without_lines(strong).T).T
        parts = _Parts(np.ascontiguousarray(strong))
        if not parts.count:
            break
        if best is None or (not parts.foreign and parts.extent > 0.25 * best.extent):
            best = parts
        if not parts.foreign:
            break
        ink = np.where(parts.labels == parts.best + 1, np.float32(0), ink)
    return best.digit() if best else (None, False)


def without_lines(mask: Mask) -> Mask:
    """The mask without the horizontal lines that were printed on the paper.

    A printed line runs straight from one side of the picture to the other, past all other ink on both sides; the bar
    of a 7 that fills its picture does not. Strokes that cross a line are left whole.
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


class _Parts:
    """The connected parts of a mask, and which of them make up the digit."""

    def __init__(self, mask: Mask) -> None:
        height, width = mask.shape
        self.mask = mask
        small = max(mask.shape) <= SMALL_SIDE
        joined = mask if small else cv2.dilate(mask, NEIGHBOURS)
        total, self.labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        self.count = total - 1
        self.foreign = False
        self.extent = 0.0
        if not self.count:
            return
        x, y, w, h, area = (stats[1:, index].astype(np.float32) for index in range(5))
        self.x, self.y, self.w, self.h, self.area = x, y, w, h, area
        self.touches = (x == 0) | (y == 0) | (x + w == width) | (y + h == height)
        off_centre = np.hypot((x + w / 2) / width - 0.5, (y + h / 2) / height - 0.5)
        # A neighbour's stroke or the edge of a page is cut off by the border; a digit that fills its picture touches
        # the border too, but lies around the middle of it. A frame's ink is spread thin along its own four sides.
        frame = (area < FRAME_FILL * w * h) & (np.minimum(w, h) > 0.5 * min(height, width)) & self._hollow()
        self.are_foreign = (self.touches & (off_centre > 0.25)) | frame
        score = np.hypot(w, h) * (1 - 0.7 * off_centre) * np.where(self.are_foreign, 0.3, 1.0)
        self.best = int(score.argmax())
        self.foreign = bool(self.are_foreign[self.best])
        self.extent = float(np.hypot(w, h)[self.best])

    def _hollow(self) -> npt.NDArray[np.bool_]:
        """Whether nearly all of a part lies along the sides of its box."""
        inner = np.zeros(self.count)
        for index in np.nonzero(np.minimum(self.w, self.h) > 0.5 * min(self.labels.shape))[0]:
            x, y, w, h = (int(v[index]) for v in (self.x, self.y, self.w, self.h))
            inset_x, inset_y = max(3, w // 10), max(3, h // 10)
            window = self.labels[y + inset_y : y + h - inset_y, x + inset_x : x + w - inset_x]
            inner[index] = (window == index + 1).sum() / (self.labels == index + 1).sum()
        return inner < 0.05

    def digit(self) -> tuple[Mask, bool]:
        """The best part with those near it that belong to it, and whether another part is as much of a digit."""
        x, y, w, h, best = self.x, self.y, self.w, self.h, self.best
        size = max(w[best], h[best])
        shared = np.minimum(x + w, x[best] + w[best]) - np.maximum(x, x[best])
        above_or_below = shared > 0.3 * w
        aside = np.maximum(x - (x[best] + w[best]), x[best] - (x + w))
        away = np.maximum(y - (y[best] + h[best]), y[best] - (y + h))
        gap = np.maximum(np.maximum(aside, away), 0)
        large_enough = np.maximum(w, h) >= np.where(above_or_below, 0.12, 0.3) * size
        chosen = large_enough & (gap < 0.25 * size) & ~self.are_foreign & (above_or_below | ~self.touches)
        chosen[best] = True
        mask: Mask = (np.concatenate([[False], chosen])[self.labels] & (self.mask > 0)).view(np.uint8)
        alike = (h > ALIKE * h[best]) & (self.area > ALIKE / 2 * self.area[best]) & (gap < 2 * size)
        return mask, bool((alike & ~chosen & ~self.are_foreign & ~self.touches).any())
