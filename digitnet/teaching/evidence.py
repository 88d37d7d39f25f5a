"""What a network makes of images, kept, so that shifts of its last layer can be tried without running it again."""

from dataclasses import dataclass

import numpy as np

from digitnet.reading.adaptation import Adaptation, Matrix
from digitnet.reading.networks import OnnxDigitNet, Probabilities
from digitnet.teaching.augmentation import Images

BATCH = 128  # images that go through the network at once


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a network makes of images.

    Attributes:
        network: whose last layer a lesson shifts.
        logits, features: of the network, (N, 10), and of its last layer, (N, F).
    """

    network: OnnxDigitNet
    logits: Matrix
    features: Matrix

    @classmethod
    def of(cls, network: OnnxDigitNet, images: Images) -> "Evidence":
        """Of `images` (N, 28, 28)."""
        batches = [images[start : start + BATCH] for start in range(0, max(1, len(images)), BATCH)]
        logits, features = zip(*map(network.logits_and_features, batches), strict=True)
        return cls(network, np.concatenate(logits), np.concatenate(features))

    def probabilities(self, shift: Matrix | None, rows: slice = slice(None)) -> Probabilities:
        """What the network says, (N, 11), of some of the images after a shift (F + 1, 10) of the last layer."""
        logits = self.logits[rows]
        shifted = logits if shift is None else Adaptation(shift, 0).logits(logits, self.features[rows])
        return self.network.calibrated(shifted)
