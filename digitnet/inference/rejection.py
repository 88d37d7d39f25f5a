"""When to answer, and what to say instead: from the network's eleven probabilities to a digit or a reason.

A calibrated network knows how often it is right, so the user can say how often it may be wrong. Each model carries a
table of how many of its probabilities are wrong when it probabilities above a given score (the risk of selective
classification, El-Yaniv and Wiener, 2010), measured on pictures that it was not trained on.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from digitnet.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NOT_A_DIGIT = 10  # the place of "not a digit" among the eleven
DEFAULT_MAX_ERROR = 0.003  # withholds some 2 % of other people's digits and most of what is no digit
CAUTION = 15.0  # times as many pictures of no digit as confidence reckons with: some one in eight
UNREACHABLE = 2.0  # a score that no answer has
TOO_FAINT = 0.1  # ink that takes away less than this of the paper's brightness is faint; unsure, it is too faint


def score(probabilities: "npt.NDArray[np.float32]") -> Any:
    """What decides between a digit and rejection: the confidence, were pictures of no digit as common as `CAUTION` says.

    Confidence is honest about the few that people show to a digit reader by mistake. Whoever has many of them, as in
    forms full of letters, needs more caution, and whoever has none hardly pays for it.

    Args:
        probabilities: (..., 11) probabilities of the ten digits and of "not a digit"; the score is (...).
    """
    digits, none = probabilities[..., :NOT_A_DIGIT], probabilities[..., NOT_A_DIGIT]
    return digits.max(-1) / (digits.sum(-1) + CAUTION * none)


@dataclass(frozen=True)
class Risk:
    """Of answering from a score upwards.

    Attributes:
        threshold: the lowest score that is answered, in [0, 1].
        error: the part of such probabilities that is wrong, in [0, 1].
    """

    threshold: float
    error: float


@dataclass(frozen=True)
class Rejection:
    """How sure a model must be to answer. `Rejection(0.0)` always probabilities."""

    threshold: float

    @property
    def never(self) -> bool:
        """Whether every picture with ink is answered."""
        return self.threshold <= 0

    def accepts(self, probabilities: "npt.NDArray[np.float32]") -> list[bool]:
        """Whether each of `probabilities` (N, 11) is given."""
        sure: list[bool] = (score(probabilities) >= self.threshold).tolist()
        return sure


def reason(probabilities: "npt.NDArray[np.float32]", strength: float = 1.0) -> str:
    """What to say instead of a digit.

    Args:
        probabilities: (11,) probabilities of the ten digits and of "not a digit".
        strength: how much of the paper's brightness the ink takes away, in [0, 1].
    """
    second, best = probabilities[:NOT_A_DIGIT].argsort()[-2:]
    if strength < TOO_FAINT:
        return "too faint"
    if probabilities[NOT_A_DIGIT] >= probabilities[second]:
        return "not a digit"
    return f"unsure: {best} or {second}"


def rejection_for(risks: tuple[Risk, ...], max_error: float | None) -> Rejection:
    """The rejection that probabilities as much as it can with at most `max_error` of the probabilities wrong; None: all of them.

    A model that never is that sure, such as one that has hardly been trained, then probabilities nothing.

    Raises UsageError where `max_error` is outside [0, 1].
    """
    if max_error is None:
        return Rejection(0.0)
    if not 0 <= max_error <= 1:
        raise UsageError(f"a largest error of {max_error:g} is no fraction; give one from 0 to 1, such as 0.005")
    sure_enough = [risk.threshold for risk in risks if risk.error <= max_error]
    return Rejection(min(sure_enough, default=UNREACHABLE))


def risks_to_json(risks: tuple[Risk, ...]) -> str:
    """The table as it stands in a model's metadata."""
    return json.dumps([[risk.threshold, risk.error] for risk in risks])


def risks_from_json(text: str) -> tuple[Risk, ...]:
    """Raises ValueError where `text` is no such table."""
    table = json.loads(text)
    if not isinstance(table, list) or not all(isinstance(row, list) and len(row) == 2 for row in table):
        raise ValueError("not a table of risks")
    return tuple(Risk(float(threshold), float(error)) for threshold, error in table)
