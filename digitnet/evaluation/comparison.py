"""Two models on the same pictures: McNemar's paired test."""

import math
from dataclasses import dataclass

from digitnet.errors import UsageError
from digitnet.evaluation.metrics import LabelledPredictions, Share, Z, ratio, share_of
from digitnet.evaluation.page_metrics import LabelledPages


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pictures.

    Attributes:
        a, b: what each model reads right; a page is right if all of its digits are.
        only_a, only_b: how many pictures only this model reads right.
        difference: the share right of a minus that of b, with its 95 % interval `low` to `high`.
        p: the probability of counts at least as uneven as `only_a` and `only_b` if both models were equally good.
    """

    a: Share
    b: Share
    only_a: int
    only_b: int
    difference: float | None
    low: float
    high: float
    p: float


Labelled = LabelledPredictions | LabelledPages


def compared(a: Labelled, b: Labelled) -> Comparison:
    """McNemar's exact paired test. Only the pictures that one model alone reads right can show a difference.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12(2), 1947; two-sided, from the binomial distribution with 1/2. The interval is that of Agresti and
    Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24(5), 2005.

    Raises UsageError where the labels differ.
    """
    if list(a.labels) != list(b.labels):
        raise UsageError(
            f"{a.name} and {b.name}: the labels differ; compare both models on the same pictures, in order"
        )
    right_a, right_b = a.is_right, b.is_right
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total, gap = len(right_a) + 2, only_a - only_b  # half a picture more in each of the four cells
    half = Z / total * math.sqrt(only_a + only_b + 1 - gap**2 / total)
    return Comparison(
        a=share_of(right_a),
        b=share_of(right_b),
        only_a=only_a,
        only_b=only_b,
        difference=ratio(gap, len(right_a)),
        low=max(-1.0, gap / total - half),
        high=min(1.0, gap / total + half),
        p=_two_sided(only_a, only_b),
    )


def _two_sided(heads: int, tails: int) -> float:
    """The probability that throws of a fair coin are at least as uneven, either way; exact integers until the end."""
    throws, term, ways = heads + tails, 1, 0
    for few in range(min(heads, tails) + 1):
        ways += term
        term = term * (throws - few) // (few + 1)
    return min(1.0, 2 * ways / (1 << throws))
