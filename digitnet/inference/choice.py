"""The choice among the readings of a picture: from eleven probabilities for each to eleven for the picture.

At most one reading shows the digit as it is; the others show frames, paper or pieces. Let w be how often a reading of a
kind is the right one, and o the odds that DigitNet sees a digit in it. By Bayes' rule, the readings are right in the
proportion of their w * o, and none of them is in the proportion 1. So the choice costs confidence: a digit that one of
many readings shows is less certain than a digit that the only reading shows, and readings that disagree weaken each
other.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digitnet.imaging.readings import Reading
from digitnet.inference.onnx_models import Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT

# Fitted on made pictures whose first reading is not sure: `benchmarks/readings.py`.
WEIGHTS = {
    "ink": 0.02,
    "opposite": 0.015,
    "flat dark": 0.16,
    "flat light": 0.5,
    "as it is": 0.05,
    "as its negative": 0.05,
    "inside ink": 0.06,
    "inside opposite": 0.3,
    "inside flat dark": 0.38,
    "inside flat light": 0.02,
    "detected": 11,
    "near ink": 5.6,
    "near flat dark": 2.8,
    "near flat light": 13,
}
# DigitNet is less sure of pieces than it says, because they are no pictures of one digit. So its odds count with a
# power below 1.
ODDS_POWER = 0.39
CERTAINTY_POWER = 2.9
LEAST = 1e-7  # a probability below this is no more than rounding


def odds(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The odds (N,) that there is a digit, for `probabilities` (N, 11)."""
    none = probabilities[:, NOT_A_DIGIT].astype(np.float64)
    return (1 - none + LEAST) / (none + LEAST)


def chosen(readings: Sequence[Reading], probabilities: Probabilities) -> tuple[int, Probabilities]:
    """The likeliest reading, and the probabilities (11,) of the picture; `probabilities` (N, 11) are the readings'."""
    weights = np.array([WEIGHTS[reading.kind] * reading.certainty**CERTAINTY_POWER for reading in readings])
    shares = weights * odds(probabilities) ** ODDS_POWER
    ten = probabilities[:, :NOT_A_DIGIT] / np.maximum(probabilities[:, :NOT_A_DIGIT].sum(1, keepdims=True), LEAST)
    eleven = np.append(shares @ ten, 1.0)
    return int(shares.argmax()), (eleven / eleven.sum()).astype(np.float32)
