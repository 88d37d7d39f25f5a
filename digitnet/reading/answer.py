"""When to answer and when to abstain: from eleven probabilities to a digit or a reason. All that decides it is here.

A calibrated network knows how often it is right, so the user can say how often it may be wrong. Each model carries a
table of risks: how many of its answers are wrong when it answers above a given score. This is the risk of selective
classification (El-Yaniv and Wiener, 2010), measured on pictures that the model was not trained on.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from digitnet.errors import UsageError

Eleven = npt.NDArray[Any]  # (11,) or (N, 11): probabilities of the ten digits and of "not a digit"

NOT_A_DIGIT = 10  # the index of "not a digit" among the eleven classes
DEFAULT_MAX_ERROR = 0.003  # abstains on some 2 % of other people's digits and on most pictures of no digit
# The prior of "no digit" in each context: the score assumes so many times more non-digits than the confidence does.
IN_PICTURE = 15.0  # a picture of one digit; some 1 in 8 then shows none
IN_LINE = 4.0  # a digit among others in a line
UNREACHABLE = 2.0  # a threshold above every score
TOO_FAINT = 0.1  # fraction of the paper's brightness; unsure ink that takes away less is called too faint


def score(probabilities: Eleven, non_digits: float = IN_PICTURE) -> Any:
    """Confidence recomputed as if non-digits were `non_digits` times as common (Bayes' rule), in [0, 1].

    This score is compared with the threshold. Confidence assumes the few non-digits that people show to a digit
    reader by mistake. Forms full of letters need more caution, and where there are only digits it costs little.

    Args:
        probabilities: (..., 11) of the ten digits and of "not a digit". The score is (...), in [0, 1].
    """
    digits, none = probabilities[..., :NOT_A_DIGIT], probabilities[..., NOT_A_DIGIT]
    return digits.max(-1) / (digits.sum(-1) + non_digits * none)


@dataclass(frozen=True)
class Risk:
    """The risk of answering above a score.

    Attributes:
        threshold: the lowest score that is answered, in [0, 1].
        error: the fraction of these answers that is wrong, in [0, 1].
    """

    threshold: float
    error: float


@dataclass(frozen=True)
class Rejection:
    """The rule that decides between an answer and none. `Rejection(0.0)` answers always.

    Attributes:
        threshold: the lowest score that is answered.
    """

    threshold: float

    @property
    def never(self) -> bool:
        """Whether every picture with ink is answered."""
        return self.threshold <= 0

    def accepts(self, probabilities: Eleven, non_digits: float = IN_PICTURE) -> list[bool]:
        """Whether each row of `probabilities` (N, 11) is answered, with this prior of "no digit"."""
        accepted: list[bool] = (score(probabilities, non_digits) >= self.threshold).tolist()
        return accepted


def reason(probabilities: Eleven, strength: float = 1.0) -> str:
    """Why there is no answer, in a few words.

    Args:
        probabilities: (11,) of the ten digits and of "not a digit".
        strength: the fraction of the paper's brightness that the ink takes away, in [0, 1].
    """
    second, best = probabilities[:NOT_A_DIGIT].argsort()[-2:]
    if strength < TOO_FAINT:
        return "too faint"
    if probabilities[NOT_A_DIGIT] >= probabilities[second]:
        return "not a digit"
    return f"unsure: {best} or {second}"


def rejection_for(risks: tuple[Risk, ...], max_error: float | None) -> Rejection:
    """The rule that answers as much as possible while at most `max_error` of the answers are wrong.

    With None, everything is answered. A model whose risk is never that low answers nothing; this happens after very
    little training.

    Raises UsageError where `max_error` is outside [0, 1].
    """
    if max_error is None:
        return Rejection(0.0)
    if not 0 <= max_error <= 1:
        raise UsageError(f"a largest error of {max_error:g} is not a fraction; give one from 0 to 1, such as 0.005")
    safe = [risk.threshold for risk in risks if risk.error <= max_error]
    return Rejection(min(safe, default=UNREACHABLE))


def risks_to_json(risks: tuple[Risk, ...]) -> str:
    """The table as it stands in a model's metadata."""
    return json.dumps([[risk.threshold, risk.error] for risk in risks])


def risks_from_json(text: str) -> tuple[Risk, ...]:
    """The table in `text`. Raises ValueError where `text` does not hold such a table."""
    table = json.loads(text)
    if not isinstance(table, list) or not all(isinstance(row, list) and len(row) == 2 for row in table):
        raise ValueError("not a table of risks")
    return tuple(Risk(float(threshold), float(error)) for threshold, error in table)
