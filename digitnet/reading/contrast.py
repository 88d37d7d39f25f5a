"""Local contrast normalisation, so that light, paper and ink do not matter to a network."""

import cv2
import numpy as np
import numpy.typing as npt

VERSION = 2  # of this normalisation; a network remembers the one that it was trained with
NEAR, WIDE = 65, 129  # pixels; the windows in which paper and contrast are measured
LEAST_CONTRAST = 0.04  # of the range from black to white; weaker contrast is noise and is not raised

Grey = npt.NDArray[np.float32]


def normalise_contrast(grey: npt.NDArray[np.uint8] | Grey) -> Grey:
    """The picture (H, W), in bytes or [0, 1], with its local contrast normalised.

    Paper is about 0. Ink is below 0 where it is darker than the paper, and above 0 where it is lighter; the fewer
    pixels it covers, the further from 0.
    """
    picture = grey.astype(np.float32) / np.float32(255) if grey.dtype == np.uint8 else grey
    paper = cv2.blur(picture, (NEAR, NEAR), borderType=cv2.BORDER_REFLECT)
    difference = picture - paper
    power = cv2.blur(difference * difference, (WIDE, WIDE), borderType=cv2.BORDER_REFLECT)
    return np.asarray(difference / (np.sqrt(np.maximum(power, 0)) + LEAST_CONTRAST), np.float32)
