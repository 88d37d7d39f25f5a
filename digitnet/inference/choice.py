"""The choice among the readings of a picture: from eleven probabilities for each to eleven for the picture.

At most one reading shows the digit as it is; the others show frames, paper or pieces. Let w be how often a reading of a
kind is the right one, and o the odds that DigitNet sees a digit in it. By Bayes' rule, the readings are right in the
proportion of their w * o, and none of them is in the proportion 1. So the choice costs confidence: a digit that one of
many readings shows is less certain than a digit that the only reading shows, and readings that disagree weaken each
other. DigitNet is less sure of pieces than it says, so the odds count with a power below 1, times the probability of a
digit: a reading without one counts for nothing, whatever its power.

Where the detector found a reading, it saw the strokes together with their surroundings, and DigitNet only what was cut
out of them. So the digits of such a reading come from both networks, by a product of experts (Hinton, 2002).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.imaging.readings import Reading
from digitnet.inference.onnx_models import LEAST, Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT


@dataclass(frozen=True)
class Weights:
    """How much the readings of a picture count.

    Attributes:
        kinds: for each kind of reading how much it counts, and the power of DigitNet's odds.
        certainty: the power of the detector's scores.
        centre: what is taken from the logarithm of a detection's share in a corner; in the middle it is nothing.
    """

    kinds: Mapping[str, tuple[float, float]]
    certainty: float = 1.0
    centre: float = 0.0


# Fitted on made pictures whose first reading is not sure: `benchmarks/readings.py`.
LARGE = Weights(
    {
        "ink": (8.9, 0.03),
        "opposite": (0.069, 0.74),
        "flat dark": (0.088, 1.14),
        "flat light": (0.031, 1.29),
        "as it is": (0.05, 0.69),
        "as its negative": (0.05, 0.69),
        "inside ink": (7.5, 0.19),
        "inside opposite": (3.4, 0.04),
        "detected": (1400, 0.05),
        "detected piece": (1, 0.4),  # by hand; fitted: 2000 and 0.01, which takes pieces of large signs for digits
        "near ink": (2.0, 0.67),
    },
    certainty=3.5,
    centre=2.5,
)
CROWDED = Weights(  # small pictures with other ink than the digit's
    {
        "ink": (7.9, 0.04),
        "opposite": (0.17, 0.27),
        "flat dark": (12.0, 0.71),
        "flat light": (0.01, 1.13),
        "as it is": (0.05, 0.69),
        "as its negative": (0.05, 0.69),
        "inside ink": (49, 0.02),
        "inside opposite": (24, 0.04),
        "detected": (10000, 0.02),
        "detected piece": (13000, 0.01),
        "near ink": (11000, 0.01),
    },
    certainty=3.2,
    centre=9.0,
)
# Small pictures that hold nothing but their digit. There the first reading shows it, however odd its shape, and the
# others are exceptions. Made pictures are not like that, so these were set by hand.
ALONE = Weights(
    {
        "ink": (1.0, 1.0),
        "opposite": (0.02, 1.0),
        "flat dark": (0.05, 1.0),
        "flat light": (0.02, 1.0),
        "as it is": (0.05, 1.0),
        "as its negative": (0.02, 1.0),
        "inside ink": (0.02, 1.0),
        "inside opposite": (0.01, 1.0),
    }
)
# The powers of the two networks in which digit a detection shows, fitted like the weights.
DETECTOR_POWER, DIGITNET_POWER = 1.1, 0.2


def odds(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The odds (N,) that there is a digit, for `probabilities` (N, 11)."""
    none = probabilities[:, NOT_A_DIGIT].astype(np.float64)
    return (1 - none + LEAST) / (none + LEAST)


def of_digits(readings: Sequence[Reading], probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The probability of each digit where there is one, (N, 10), from DigitNet's `probabilities` (N, 11)."""
    ten = probabilities[:, :NOT_A_DIGIT].astype(np.float64)
    ten = np.maximum(ten / np.maximum(ten.sum(1, keepdims=True), LEAST), LEAST)
    for index, reading in enumerate(readings):
        if reading.logits is not None:
            joint = DIGITNET_POWER * np.log(ten[index]) + DETECTOR_POWER * reading.logits
            ten[index] = np.exp(joint - joint.max())
    return np.asarray(ten / ten.sum(1, keepdims=True), np.float64)


def chosen(
    readings: Sequence[Reading], probabilities: Probabilities, weights: Weights = LARGE
) -> tuple[int, Probabilities]:
    """The likeliest reading, and the probabilities (11,) of the picture.

    Args:
        probabilities: (N, 11), of the readings.
    """
    counts, powers = np.array([weights.kinds[reading.kind] for reading in readings]).T
    certainties = np.array([reading.certainty for reading in readings])
    off_centre = np.array([reading.off_centre for reading in readings])
    is_digit = 1 - probabilities[:, NOT_A_DIGIT].astype(np.float64)
    shares = counts * certainties**weights.certainty * np.exp(-weights.centre * off_centre**2)
    shares *= odds(probabilities) ** powers * is_digit
    eleven = np.append(shares @ of_digits(readings, probabilities), 1.0)
    return int(shares.argmax()), (eleven / eleven.sum()).astype(np.float32)
