"""The guard set: digits by other hands, and negatives, that say whether a lesson has harmed a model.

`data/guard.py` made it of pictures that training holds out. Half of them is replay: a lesson keeps their logits almost
as they are. The other half judges the lesson.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

GUARD = Path(__file__).parents[1] / "weights" / "guard.npz"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images (N, 28, 28) in [0, 1], ink bright on dark, and their labels (N,), 0 to 9 or `NOT_A_DIGIT`."""

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def replay_and_guard() -> tuple[Pictures, Pictures]:
    """The half that lessons are fitted on, and the half that judges them."""
    with np.load(GUARD) as file:
        images, labels = file["images"].astype(np.float32) / np.float32(255), file["labels"].astype(np.int64)
    replay, guard = (Pictures(images[start::2], labels[start::2]) for start in (0, 1))
    return replay, guard
