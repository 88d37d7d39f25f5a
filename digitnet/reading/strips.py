"""Strips: lines of a picture, straight and `HEIGHT` pixels high, as the line reader sees them."""

import cv2
import numpy as np
import numpy.typing as npt

from digitnet.pages.detect import Grey, normalise_contrast

HEIGHT = 48  # pixels of a strip
STRIDE = 4  # pixels of a strip for one column of the line reader's scores
NARROWEST, WIDEST = 16, 4096  # pixels


def prepared(picture: npt.NDArray[np.uint8] | Grey) -> Grey:
    """A cut-out line (h, w), in bytes or [0, 1], as the line reader sees it: (`HEIGHT`, W), its contrast normalised."""
    grey = picture.astype(np.float32) / np.float32(255) if picture.dtype == np.uint8 else picture
    scale = HEIGHT / grey.shape[0]
    width = min(WIDEST, max(NARROWEST, round(grey.shape[1] * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return normalise_contrast(np.asarray(cv2.resize(grey, (width, HEIGHT), interpolation=smooth), np.float32))
