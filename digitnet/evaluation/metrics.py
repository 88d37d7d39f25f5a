"""Numbers about answers whose truth is known: how often right, how honestly sure, how well withheld.

Every share comes with its 95 % interval. Of an empty set nothing is claimed: its shares are None. All dataclasses hold
plain numbers, so that `asdict` gives what `json` can write.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.errors import UsageError
from digitnet.inference.rejection import NOT_A_DIGIT
from digitnet.results import Digit

Z = 1.959963984540054  # the normal distribution has 95 % between -Z and Z
BINS = 15  # of the reliability diagram, as Guo et al. have them
CURVE_POINTS = 201  # of a risk-coverage curve: a step of half a percent, less than a page can show

Image = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """Probabilities of one model to one set of pictures, with the truth; it may hold digits, non-digits or both.

    Attributes:
        name: what to call the set, or, in a comparison of models, the model.
        labels: 0 to 9, or `rejection.NOT_A_DIGIT` for what is not a digit at all.
        digits: the answers, in the same order.
        images: what the network saw, each (28, 28) in [0, 1], bright ink on dark; None for a blank picture.
        files: the names of the pictures.

    Raises UsageError where the lengths differ or a label is out of range.
    """

    name: str
    labels: Sequence[int] | npt.NDArray[np.integer]
    digits: Sequence[Digit]
    images: Sequence[Image | None] | Image | None = None
    files: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for field in ("digits", "images", "files"):
            values = getattr(self, field)
            if values is not None and len(values) != len(self.labels):
                raise UsageError(f"{self.name}: {len(self.labels)} labels but {len(values)} {field}; give one a label")
        if strange := sorted({int(label) for label in self.labels} - set(range(NOT_A_DIGIT + 1))):
            raise UsageError(f"{self.name}: {strange[0]} is no label; use 0 to 9, or {NOT_A_DIGIT} for no digit")


@dataclass(frozen=True)
class Share:
    """`count` of `total`: the fraction in [0, 1], None of nothing, and its 95 % interval `low` to `high`."""

    count: int
    total: int
    fraction: float | None
    low: float
    high: float


@dataclass(frozen=True)
class DigitScore:
    """Of what was read as `digit`, how much was one (precision); of those written, how many were found (recall)."""

    digit: int
    precision: Share
    recall: Share
    f1: float | None


@dataclass(frozen=True)
class Bin:
    """The answers with a confidence in (`low`, `high`]: how sure they are on average, and how many are right."""

    low: float
    high: float
    confidence: float
    right: Share


@dataclass(frozen=True)
class Calibration:
    """`error` is the expected calibration error in [0, 1]; `bins` are those that hold any answer."""

    error: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class RiskCoverage:
    """How much would be wrong, were only the surest answers given.

    Attributes:
        points: (coverage, risk, threshold), each in [0, 1]: the part of the digits with at least that confidence, and
            how much of it is wrong. The surest come first; the last point covers all.
        area: under that curve, lower is better; None of nothing.
    """

    points: tuple[tuple[float, float, float], ...]
    area: float | None


@dataclass(frozen=True)
class Metrics:
    """All that is measured of one set: see the functions of the same names. The last two are about its non-digits."""

    name: str
    accuracy: Share
    answered: Share
    wrong_answers: Share
    calibration: Calibration
    risk_coverage: RiskCoverage
    by_digit: tuple[DigitScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    rejected: Share
    reasons: dict[str, int]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pictures. `difference` is the share right of a minus that of b, with its 95 % interval.

    `p` is how likely counts at least as uneven as `only_a` and `only_b` are, were both models equally good.
    """

    a: Share
    b: Share
    only_a: int
    only_b: int
    difference: float | None
    low: float
    high: float
    p: float


def share(count: int, total: int) -> Share:
    """`count` of `total` with the score interval, which holds for few pictures and near 0 and 1 as well.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22(158), 1927.
    """
    if not total:
        return Share(count, total, None, 0.0, 1.0)
    fraction = count / total
    scale = 1 + Z**2 / total
    middle = (fraction + Z**2 / (2 * total)) / scale
    half = Z / scale * math.sqrt(fraction * (1 - fraction) / total + Z**2 / (4 * total**2))
    # None and all end at 0 and 1 exactly, which rounding would miss, or pass.
    low, high = middle - half if count else 0.0, middle + half if count < total else 1.0
    return Share(count, total, fraction, low, high)


def compute_metrics(answers: LabelledPredictions) -> Metrics:
    """All metrics of one set; those of a kind of picture that it does not hold are metrics of nothing."""
    return Metrics(
        name=answers.name,
        accuracy=accuracy(answers),
        answered=answered(answers),
        wrong_answers=wrong_answers(answers),
        calibration=calibration(answers),
        risk_coverage=risk_coverage(answers),
        by_digit=by_digit(answers),
        confusion=tuple(tuple(row) for row in confusion(answers).tolist()),
        rejected=rejected(answers),
        reasons=reasons(answers),
    )


def right(answers: LabelledPredictions) -> Flags:
    """(N,): for a digit, whether the best guess is its label, withheld or not; for a non-digit, whether rejected."""
    pairs = zip(answers.labels, answers.digits, strict=True)
    is_right = (digit.digit is None if label == NOT_A_DIGIT else digit.best_guess == label for label, digit in pairs)
    return np.fromiter(is_right, bool, len(answers.labels))


def of_digits(answers: LabelledPredictions) -> Flags:
    """(N,): whether the picture shows a digit."""
    flags: Flags = np.asarray(answers.labels, int) != NOT_A_DIGIT
    return flags


def not_withheld(answers: LabelledPredictions) -> Flags:
    """(N,): whether a digit was answered."""
    return np.fromiter((digit.digit is not None for digit in answers.digits), bool, len(answers.digits))


def accuracy(answers: LabelledPredictions) -> Share:
    """The digits whose best guess is right, also where it was withheld."""
    return _share_of(right(answers)[of_digits(answers)])


def answered(answers: LabelledPredictions) -> Share:
    """The digits that were answered."""
    return _share_of(not_withheld(answers)[of_digits(answers)])


def wrong_answers(answers: LabelledPredictions) -> Share:
    """The wrong ones among the digits that were answered: what a user suffers from."""
    return _share_of(~right(answers)[of_digits(answers) & not_withheld(answers)])


def rejected(answers: LabelledPredictions) -> Share:
    """The non-digits that were not taken for digits."""
    return _share_of(right(answers)[~of_digits(answers)])


def reasons(answers: LabelledPredictions) -> dict[str, int]:
    """Why non-digits were rejected, the commonest reason first."""
    pairs = zip(answers.labels, answers.digits, strict=True)
    given = (digit.reason for label, digit in pairs if label == NOT_A_DIGIT and digit.digit is None)
    return dict(Counter(reason or "no reason given" for reason in given).most_common())


def confusion(answers: LabelledPredictions) -> npt.NDArray[np.int64]:
    """(10, 10): how many digits of each label (row) had each best guess (column); those without any are left out."""
    matrix = np.zeros((10, 10), np.int64)
    for label, digit in zip(answers.labels, answers.digits, strict=True):
        if label != NOT_A_DIGIT and digit.best_guess is not None:
            matrix[label, digit.best_guess] += 1
    return matrix


def by_digit(answers: LabelledPredictions) -> tuple[DigitScore, ...]:
    """Precision, recall and their harmonic mean F1 for each of the ten digits, by best guess."""
    matrix = confusion(answers)
    found, guessed = matrix.diagonal().tolist(), matrix.sum(0).tolist()
    # Counted from the labels, since a digit without a best guess was missed as well.
    written = np.bincount(np.asarray(answers.labels, int), minlength=11)[:10].tolist()
    return tuple(
        DigitScore(digit, share(hits, guesses), share(hits, labels), _ratio(2 * hits, guesses + labels))
        for digit, (hits, guesses, labels) in enumerate(zip(found, guessed, written, strict=True))
    )


def calibration(answers: LabelledPredictions, bins: int = BINS) -> Calibration:
    """The expected calibration error: how far confidence lies from the share right, on average over the digits.

    Guo et al., "On calibration of modern neural networks", ICML 2017: bins of equal width, each weighted by its count.
    """
    confidences, is_right = _confidences(answers), right(answers)[of_digits(answers)]
    edges = np.arange(bins + 1) / bins
    places = np.searchsorted(edges[1:-1], confidences, side="left")  # a confidence on an edge belongs below it
    filled = []
    for place in np.unique(places).tolist():
        inside = places == place
        low, high = edges[place : place + 2].tolist()
        filled.append(Bin(low, high, float(confidences[inside].mean()), _share_of(is_right[inside])))
    gaps = sum(abs(part.confidence * part.right.total - part.right.count) for part in filled)
    return Calibration(_ratio(gaps, len(confidences)), tuple(filled))


def risk_coverage(answers: LabelledPredictions, points: int = CURVE_POINTS) -> RiskCoverage:
    """The error rate of what a threshold of confidence would let through, at `points` thresholds at most.

    Geifman and El-Yaniv, "Selective classification for deep neural networks", NIPS 2017. The area is the mean risk
    over the thresholds that the digits' own confidences set (Geifman, Uziel and El-Yaniv, ICLR 2019).
    """
    confidences, is_right = _confidences(answers), right(answers)[of_digits(answers)]
    order = np.argsort(-confidences, kind="stable")
    thresholds = confidences[order]
    # No threshold parts digits of the same confidence, so only the last of them is a point.
    ends = np.flatnonzero(np.diff(thresholds, append=-np.inf))
    kept = ends + 1
    risks = np.cumsum(~is_right[order])[ends] / kept
    area = _ratio(float(risks @ np.diff(kept, prepend=0)), len(order))
    shown = np.linspace(0, len(ends) - 1, min(points, len(ends))).round().astype(int)
    rows = np.stack([kept / max(len(order), 1), risks, thresholds[ends]], axis=1)[shown].tolist()
    return RiskCoverage(tuple((coverage, risk, threshold) for coverage, risk, threshold in rows), area)


def compared(a: LabelledPredictions, b: LabelledPredictions) -> Comparison:
    """The exact paired test of McNemar: only the pictures that one model alone gets right tell the two apart.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12(2), 1947; two-sided, from the binomial distribution with 1/2. The interval is that of Agresti and
    Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24(5), 2005.

    Raises UsageError where the labels differ.
    """
    if not np.array_equal(np.asarray(a.labels, int), np.asarray(b.labels, int)):
        raise UsageError(f"{a.name} and {b.name}: the labels differ; compare answers to the same pictures in one order")
    right_a, right_b = right(a), right(b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total, gap = len(right_a) + 2, only_a - only_b  # half a picture more in each of the four cells
    half = Z / total * math.sqrt(only_a + only_b + 1 - gap**2 / total)
    return Comparison(
        a=_share_of(right_a),
        b=_share_of(right_b),
        only_a=only_a,
        only_b=only_b,
        difference=_ratio(gap, len(right_a)),
        low=max(-1.0, gap / total - half),
        high=min(1.0, gap / total + half),
        p=_two_sided(only_a, only_b),
    )


def _two_sided(heads: int, tails: int) -> float:
    """How likely throws of a fair coin are to be at least as uneven, either way; in whole numbers until the end."""
    throws, term, ways = heads + tails, 1, 0
    for few in range(min(heads, tails) + 1):
        ways += term
        term = term * (throws - few) // (few + 1)
    return min(1.0, 2 * ways / (1 << throws))


def _confidences(answers: LabelledPredictions) -> npt.NDArray[np.float64]:
    confidences = np.fromiter((digit.confidence for digit in answers.digits), float, len(answers.digits))
    return confidences[of_digits(answers)]


def _share_of(flags: Flags) -> Share:
    return share(int(flags.sum()), len(flags))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
