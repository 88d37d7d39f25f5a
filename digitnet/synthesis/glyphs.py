"""Letters of some sixty scripts, and digits by a hundred hands, drawn from handwriting fonts (data/fonts)."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

GLYPHS = Path(__file__).parents[1] / "weights" / "glyphs.npz"
HELD_OUT = 10  # every tenth glyph is held out from training, for calibration


def glyphs(*, held_out: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images (N, 28, 28), ink bright on dark, and labels (N,), 0 to 9 or `NOT_A_DIGIT`: to train on, or those held out.

    Training has seen none of the held-out letters in the same font. It has seen those digits in another width of pen.
    """
    with np.load(GLYPHS) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    chosen = (np.arange(len(labels)) % HELD_OUT == 0) == held_out
    return images[chosen], labels[chosen]
