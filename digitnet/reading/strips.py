"""Places to strips: each line of a picture, straight and `HEIGHT` pixels high, as the line reader sees it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from digitnet.reading.contrast import Grey, normalise_contrast
from digitnet.reading.places import Place

HEIGHT = 48  # pixels of a strip
STRIDE = 4  # pixels of a strip for one column of the line reader's scores
NARROWEST, WIDEST = 16, 4096  # pixels
BESIDE = 0.8  # heights of a digit; a strip is cut so much wider than its place, so that it holds what was not found
ABOVE = 0.22  # heights; the same above and below


@dataclass(frozen=True, eq=False)
class Strip:
    """A line of a picture.

    Attributes:
        grey: (48, W) in [0, 1].
        to_picture: (2, 3), which takes (x, y, 1) of the strip to (x, y) of the picture.
        height: of its usual digit, in pixels of the strip.
    """

    grey: Grey
    to_picture: npt.NDArray[np.float64]
    height: float

    @property
    def pixels(self) -> float:
        """Pixels of the picture for one of the strip."""
        return float(math.hypot(*self.to_picture[:, 0]))

    def box_in_picture(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """The edges in the picture of a box in the strip: left, top, right and bottom."""
        x, y = (self.to_picture @ np.array([(left + right) / 2, (top + bottom) / 2, 1])).tolist()
        across, down = self.pixels * (right - left) / 2, self.pixels * (bottom - top) / 2
        return x - across, y - down, x + across, y + down


def cut(grey: Grey, place: Place) -> Strip:
    """The strip of a place of a picture (H, W) in [0, 1]. Beyond the picture's edge it has paper."""
    angle = math.atan(place.slope)
    cos, sin = math.cos(angle), math.sin(angle)
    wide, tall = place.right - place.left, place.bottom - place.top
    # Along the line and across it; a sloping line is lower than the box around it.
    length = wide / cos if place.slope else wide
    depth = max(place.height, tall - abs(place.slope) * (wide - place.height)) if place.slope else tall
    margin = 2 * place.margin * place.height
    length, depth = length + BESIDE * margin, depth + ABOVE * margin
    pixels = depth / HEIGHT
    width = int(min(WIDEST, max(NARROWEST, round(length / pixels))))
    middle = (place.left + place.right) / 2, (place.top + place.bottom) / 2
    axes = np.array([[cos, -sin], [sin, cos]]) * [length / width, pixels]
    to_picture = np.column_stack([axes, middle - axes @ [width / 2, HEIGHT / 2]])
    return Strip(_sampled(grey, to_picture, width), to_picture, place.height / pixels)


def _sampled(grey: Grey, to_picture: npt.NDArray[np.float64], width: int) -> Grey:
    """The strip (48, W); what is reduced to less than two thirds is first reduced by the mean of its pixels."""
    matrix = to_picture.copy()
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # from the middles of pixels to the middles of pixels
    reduction = float(np.hypot(*matrix[:, 1]))
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, HEIGHT, HEIGHT], [1, 1, 1, 1]])
    x0, y0 = np.maximum(np.floor(corners.min(1)).astype(int) - 2, 0).tolist()
    x1, y1 = (np.ceil(corners.max(1)).astype(int) + 3).tolist()
    x0, y0 = min(x0, grey.shape[1] - 1), min(y0, grey.shape[0] - 1)
    part = grey[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    matrix[:, 2] -= x0, y0
    if reduction > 1.5:
        size = max(1, round(part.shape[1] / reduction)), max(1, round(part.shape[0] / reduction))
        across, down = part.shape[1] / size[0], part.shape[0] / size[1]
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.float32)
        matrix[:, 2] += 0.5
        matrix /= [[across], [down]]
        matrix[:, 2] -= 0.5
    flags, paper = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, float(np.median(part))
    return np.asarray(
        cv2.warpAffine(part, matrix, (width, HEIGHT), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=paper),
        np.float32,
    )


def prepared(grey: Grey) -> Grey:
    """A strip (48, W) in [0, 1] as the line reader sees it."""
    return normalise_contrast(grey)


def resized(picture: npt.NDArray[np.uint8]) -> Grey:
    """A line (h, w) in bytes as a strip, (48, W) in [0, 1]."""
    scale = HEIGHT / picture.shape[0]
    width = min(WIDEST, max(NARROWEST, round(picture.shape[1] * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grey = picture.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.resize(grey, (width, HEIGHT), interpolation=smooth), np.float32)
