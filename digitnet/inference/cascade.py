"""`Cascade`: a larger network is asked as well, where the first one is unsure.

One image in sixty of MNIST is hard for a network of DigitNet's size. A network four times as costly makes other
mistakes there. So both together make fewer than either, and the other images cost what they did (cascades of
classifiers: Viola and Jones, 2001). Both together are the mean of their log-probabilities (logarithmic opinion pool:
Genest and Zidek, 1986).

Lessons change the first network only. The larger one, which has not had them, must not undo them. So it is not asked
where a lesson has changed the answer.
"""

from collections.abc import Callable

import numpy as np

from digitnet.inference.onnx_models import LEAST, Numbers, OnnxDigitNet, Probabilities

BATCH = 128  # images that go through a network at once
SURE = 0.95  # the first network alone decides where one of its eleven probabilities is at least this


class Cascade:
    """A network and, for the images that it is unsure of, a larger one. Threads may share it.

    Attributes:
        first: the network that sees every image.

    Args:
        larger: gives the other network. It is asked for when the first hard image comes. None for `first` alone.
    """

    def __init__(self, first: OnnxDigitNet, larger: Callable[[], OnnxDigitNet] | None) -> None:
        self.first, self._larger = first, larger

    def probabilities(self, images: Numbers) -> Probabilities:
        """Probabilities (N, 11) of the ten digits and of "not a digit", for normalised `images` (N, 28, 28)."""
        return np.concatenate([self._of_batch(batch) for batch in batches(images)])

    def _of_batch(self, images: Numbers) -> Probabilities:
        probabilities = self.first.probabilities(images)
        unsure = probabilities.max(1) < SURE
        if self._larger and unsure.any():
            probabilities[unsure] = together(probabilities[unsure], *self.opinions(images[unsure]))
        return probabilities

    def opinions(self, images: Numbers) -> tuple[Probabilities, ...]:
        """What the first network says of `images` (N, 28, 28) without any lesson, and the larger one: (N, 11) each.

        Nothing where there is no larger one.
        """
        return (self.first.untaught(images), self._larger().probabilities(images)) if self._larger else ()


def batches(images: Numbers) -> list[Numbers]:
    """The images (N, 28, 28), `BATCH` at a time; at least one batch, which may be empty."""
    return [images[start : start + BATCH] for start in range(0, max(1, len(images)), BATCH)]


def together(probabilities: Probabilities, untaught: Probabilities, of_larger: Probabilities) -> Probabilities:
    """What both networks say together, (N, 11), where the first is unsure and no lesson has changed its answer.

    Elsewhere it is what the first says alone.

    Args:
        probabilities, untaught: of the first network, after and before lessons, (N, 11).
        of_larger: of the larger network, (N, 11).
    """
    joint = np.sqrt(np.maximum(probabilities, LEAST) * np.maximum(of_larger, LEAST))
    is_asked = (probabilities.max(1) < SURE) & (probabilities.argmax(1) == untaught.argmax(1))
    return np.where(is_asked[:, np.newaxis], joint / joint.sum(1, keepdims=True), probabilities)
