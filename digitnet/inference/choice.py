"""The choice among the readings of a picture: from eleven probabilities for each to eleven for the picture.

At most one reading shows the digit as it is; the others show frames, paper or pieces. Let w be how often a reading of a
kind is the right one, and o the odds that DigitNet sees a digit in it. By Bayes' rule, the readings are right in the
proportion of their w * o, and none of them is in the proportion 1. So the choice costs confidence: a digit that one of
many readings shows is less certain than a digit that the only reading shows, and readings that disagree weaken each
other. DigitNet is less sure of pieces than it says, so the odds count with a power below 1, times the probability of a
digit: a reading without one counts for nothing, whatever its power.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digitnet.imaging.readings import Reading
from digitnet.inference.onnx_models import Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT

# For each kind of reading, how much it counts, and the power of DigitNet's odds. Fitted on made pictures whose first
# reading is not sure: `benchmarks/readings.py`.
WEIGHTS = {
    "ink": (1.9, 0.1),
    "opposite": (0.28, 0.73),
    "flat dark": (0.058, 0.96),
    "flat light": (0.012, 0.98),
    "as it is": (0.05, 0.69),
    "as its negative": (0.05, 0.69),
    "inside ink": (0.25, 0.2),
    "inside opposite": (11, 0.14),
    "detected": (52, 0.49),
    "detected piece": (1, 0.4),  # by hand; fitted: 240 and 0.03, which takes pieces of large signs for digits
    "near ink": (5.5, 0.73),
}
# For small pictures, which were cropped or drawn around their digit. There the first reading shows the digit, however
# odd its shape, and the others are exceptions. Made pictures are not like that, so these were set by hand.
SMALL_WEIGHTS = {
    "ink": (1.0, 1.0),
    "opposite": (0.02, 1.0),
    "flat dark": (0.05, 1.0),
    "flat light": (0.02, 1.0),
    "as it is": (0.05, 1.0),
    "as its negative": (0.02, 1.0),
    "inside ink": (0.02, 1.0),
    "inside opposite": (0.01, 1.0),
}
CERTAINTY_POWER = 3.46  # of the detector's scores
LEAST = 1e-7  # a probability below this is no more than rounding


def odds(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The odds (N,) that there is a digit, for `probabilities` (N, 11)."""
    none = probabilities[:, NOT_A_DIGIT].astype(np.float64)
    return (1 - none + LEAST) / (none + LEAST)


def chosen(
    readings: Sequence[Reading], probabilities: Probabilities, *, small: bool = False
) -> tuple[int, Probabilities]:
    """The likeliest reading, and the probabilities (11,) of the picture.

    Args:
        probabilities: (N, 11), of the readings.
        small: whether the picture was cropped or drawn around its digit (see `ink.is_small`).
    """
    table = SMALL_WEIGHTS if small else WEIGHTS
    weights, powers = np.array([table[reading.kind] for reading in readings]).T
    certainties = np.array([reading.certainty for reading in readings])
    is_digit = 1 - probabilities[:, NOT_A_DIGIT].astype(np.float64)
    shares = weights * certainties**CERTAINTY_POWER * odds(probabilities) ** powers * is_digit
    ten = probabilities[:, :NOT_A_DIGIT] / np.maximum(probabilities[:, :NOT_A_DIGIT].sum(1, keepdims=True), LEAST)
    eleven = np.append(shares @ ten, 1.0)
    return int(shares.argmax()), (eleven / eleven.sum()).astype(np.float32)
