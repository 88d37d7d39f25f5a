"""What a network makes of images, kept, so that shifts of its last layer can be tried without running it again."""

from dataclasses import dataclass

import numpy as np

from digitnet.inference.adaptation import Adaptation, Matrix
from digitnet.inference.onnx_models import OnnxDigitNet, Probabilities
from digitnet.teaching.augmentation import Images

BATCH = 256  # images that go through the network at once


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the network makes of images: logits (N, 10), and features of the last layer (N, F)."""

    logits: Matrix
    features: Matrix

    @classmethod
    def of(cls, network: OnnxDigitNet, images: Images) -> "Evidence":
        starts = range(0, max(1, len(images)), BATCH)
        logits, features = zip(
            *(network.logits_and_features(images[start : start + BATCH]) for start in starts), strict=True
        )
        return cls(np.concatenate(logits), np.concatenate(features))

    def probabilities(self, network: OnnxDigitNet, shift: Matrix | None, rows: slice = slice(None)) -> Probabilities:
        """(N, 11) after a shift (F + 1, 10) of the last layer, of some of the images."""
        logits = self.logits[rows]
        return network.calibrated(logits if shift is None else Adaptation(shift, 0).logits(logits, self.features[rows]))
