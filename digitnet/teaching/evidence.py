"""What a network makes of images, kept, so that shifts of its last layer can be tried without running it again."""

import functools
from dataclasses import dataclass

import numpy as np

from digitnet.inference.adaptation import Adaptation, Matrix
from digitnet.inference.cascade import Cascade, batches, together
from digitnet.inference.onnx_models import Probabilities
from digitnet.teaching.augmentation import Images


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the first network of a cascade makes of images.

    Attributes:
        cascade: a lesson changes its first network only.
        images: (N, 28, 28).
        logits, features: of the first network, (N, 10), and of its last layer, (N, F).
    """

    cascade: Cascade
    images: Images
    logits: Matrix
    features: Matrix

    @classmethod
    def of(cls, cascade: Cascade, images: Images) -> "Evidence":
        logits, features = zip(*map(cascade.first.logits_and_features, batches(images)), strict=True)
        return cls(cascade, images, np.concatenate(logits), np.concatenate(features))

    def probabilities(self, shift: Matrix | None, rows: slice = slice(None)) -> Probabilities:
        """What the cascade says, (N, 11), of some of the images after a shift (F + 1, 10) of the last layer."""
        logits = self.logits[rows]
        shifted = logits if shift is None else Adaptation(shift, 0).logits(logits, self.features[rows])
        alone = self.cascade.first.calibrated(shifted)
        return together(alone, *(opinion[rows] for opinion in self._opinions)) if self._opinions else alone

    @functools.cached_property
    def _opinions(self) -> tuple[Probabilities, ...]:
        """What `together` needs of all images besides. Lessons do not change it."""
        opinions = zip(*map(self.cascade.opinions, batches(self.images)), strict=True)
        return tuple(np.concatenate(opinion) for opinion in opinions)
