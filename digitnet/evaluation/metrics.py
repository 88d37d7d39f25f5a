"""Metrics of labelled single digits: accuracy, rejection, calibration, and scores for each digit.

Each share has a 95 % interval. In an empty set, `Share.fraction` and the averages are None. All results are dataclasses
of plain numbers, so `asdict` gives what `json` can write.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitnet.errors import UsageError
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.results import Digit

Z = 1.959963984540054  # 95 % of the normal distribution lies between -Z and Z
BINS = 15  # of the reliability diagram, as in Guo et al.
CURVE_POINTS = 201  # of a risk-coverage curve; steps of half a percent are finer than a chart can show

Image = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """One model's predictions for a set of pictures, with the true labels. A set may mix digits and non-digits.

    Attributes:
        name: of the set or, in a comparison, of the model.
        labels: 0 to 9, or `rejection.NOT_A_DIGIT` for a picture without a digit.
        digits: the predictions, in the order of the labels.
        images: what the network saw, each (28, 28) in [0, 1], bright ink on dark; None for a blank picture.
        files: the names of the pictures.
        unreadable: how many pictures were left out because they could not be read.

    Raises UsageError where the lengths differ or a label is out of range.
    """

    name: str
    labels: Sequence[int] | npt.NDArray[np.integer]
    digits: Sequence[Digit]
    images: Sequence[Image | None] | Image | None = None
    files: Sequence[str] | None = None
    unreadable: int = 0

    def __post_init__(self) -> None:
        check_lengths(self.name, self.labels, digits=self.digits, images=self.images, files=self.files)
        if strange := sorted({int(label) for label in self.labels} - set(range(NOT_A_DIGIT + 1))):
            raise UsageError(f"{self.name}: {strange[0]} is no label; use 0 to 9, or {NOT_A_DIGIT} for no digit")

    @functools.cached_property
    def is_digit(self) -> Flags:
        """(N,): whether the picture shows a digit."""
        return np.array([label != NOT_A_DIGIT for label in self.labels], bool)

    @functools.cached_property
    def confidences(self) -> npt.NDArray[np.float64]:
        """(N,), in [0, 1]."""
        return np.array([digit.confidence for digit in self.digits], float)

    @functools.cached_property
    def is_answered(self) -> Flags:
        """(N,): whether the model answered with a digit."""
        return np.array([digit.digit is not None for digit in self.digits], bool)

    @functools.cached_property
    def is_right(self) -> Flags:
        """(N,): a digit is right if the best guess is its label, even if abstained; a non-digit if it was rejected."""
        guessed = [digit.best_guess == label for label, digit in zip(self.labels, self.digits, strict=True)]
        return np.where(self.is_digit, np.array(guessed, bool), ~self.is_answered)


@dataclass(frozen=True)
class Share:
    """`count` of `total`: the fraction in [0, 1] (None where `total` is 0) and its 95 % interval `low` to `high`."""

    count: int
    total: int
    fraction: float | None
    low: float
    high: float


@dataclass(frozen=True)
class DigitScore:
    """How many of the pictures read as `digit` show it (precision), and how many that show it were found (recall)."""

    digit: int
    precision: Share
    recall: Share
    f1: float | None


@dataclass(frozen=True)
class Bin:
    """The predictions with a confidence in (`low`, `high`]: their mean confidence, and the share that is right."""

    low: float
    high: float
    confidence: float
    right: Share


@dataclass(frozen=True)
class Reliability:
    """`error` is the expected calibration error in [0, 1]; `bins` are those that are not empty."""

    error: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class RiskCoverage:
    """The error rate if only the predictions with the highest confidence were answered.

    Attributes:
        points: (coverage, risk, threshold), each in [0, 1]: the share of digits with at least that confidence, and the
            share of these that is wrong. The highest threshold comes first; the last point covers all digits.
        area: under that curve; lower is better. None where there are no digits.
    """

    points: tuple[tuple[float, float, float], ...]
    area: float | None


@dataclass(frozen=True)
class Metrics:
    """All metrics of one set. `rejected` and `reasons` are about pictures without a digit, all others about digits.

    Attributes:
        accuracy: the digits whose best guess is right, even if the model abstained.
        answered: the digits for which the model did not abstain.
        wrong_answers: the wrong ones among the answered digits. These are the errors that a user meets.
        calibration, risk_coverage, by_digit, confusion: see the functions of the same names.
        rejected: the non-digits that were not answered as digits.
        reasons: why non-digits were rejected, the most frequent reason first.
    """

    name: str
    unreadable: int
    accuracy: Share
    answered: Share
    wrong_answers: Share
    calibration: Reliability
    risk_coverage: RiskCoverage
    by_digit: tuple[DigitScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    rejected: Share
    reasons: dict[str, int]


def share(count: int, total: int) -> Share:
    """`count` of `total` with the score interval, which is valid for few pictures and near 0 and 1 as well.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22(158), 1927.
    """
    if not total:
        return Share(count, total, None, 0.0, 1.0)
    fraction = count / total
    scale = 1 + Z**2 / total
    middle = (fraction + Z**2 / (2 * total)) / scale
    half = Z / scale * math.sqrt(fraction * (1 - fraction) / total + Z**2 / (4 * total**2))
    # The bounds of no and of all pictures are exactly 0 and 1. Rounding would miss or pass them.
    low, high = middle - half if count else 0.0, middle + half if count < total else 1.0
    return Share(count, total, fraction, low, high)


def share_of(flags: Iterable[bool]) -> Share:
    """The share of `flags` that are True."""
    values = list(flags)
    return share(sum(map(bool, values)), len(values))


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`; None where `whole` is 0."""
    return part / whole if whole else None


def check_lengths(name: str, labels: Sized, **columns: Sized | None) -> None:
    """Raises UsageError, with the set's name, where a column has not one value a label."""
    for column, values in columns.items():
        if values is not None and len(values) != len(labels):
            raise UsageError(f"{name}: {len(labels)} labels but {len(values)} {column}; give one a label")


def compute_metrics(predictions: LabelledPredictions) -> Metrics:
    """All metrics of one set. Shares of a kind of picture that the set does not hold have the total 0."""
    is_digit, is_right, is_answered = predictions.is_digit, predictions.is_right, predictions.is_answered
    rejected = [predictions.digits[place] for place in np.flatnonzero(~is_digit & ~is_answered).tolist()]
    return Metrics(
        name=predictions.name,
        unreadable=predictions.unreadable,
        accuracy=share_of(is_right[is_digit]),
        answered=share_of(is_answered[is_digit]),
        wrong_answers=share_of(~is_right[is_digit & is_answered]),
        calibration=calibration(predictions),
        risk_coverage=risk_coverage(predictions),
        by_digit=by_digit(predictions),
        confusion=tuple(tuple(row) for row in confusion(predictions).tolist()),
        rejected=share_of(is_right[~is_digit]),
        reasons=dict(Counter(digit.reason or "no reason given" for digit in rejected).most_common()),
    )


def confusion(predictions: LabelledPredictions) -> npt.NDArray[np.int64]:
    """(10, 10): how many digits of each label (row) had each best guess (column); blank pictures are left out."""
    matrix = np.zeros((10, 10), np.int64)
    for label, digit in zip(predictions.labels, predictions.digits, strict=True):
        if label != NOT_A_DIGIT and digit.best_guess is not None:
            matrix[label, digit.best_guess] += 1
    return matrix


def by_digit(predictions: LabelledPredictions) -> tuple[DigitScore, ...]:
    """Precision, recall and their harmonic mean F1 for each of the ten digits, by best guess."""
    matrix = confusion(predictions)
    found, guessed = matrix.diagonal().tolist(), matrix.sum(0).tolist()
    # Counted from the labels, because a digit without a best guess counts as missed.
    written = np.bincount(np.asarray(predictions.labels, int), minlength=11)[:10].tolist()
    return tuple(
        DigitScore(digit, share(hits, guesses), share(hits, labels), ratio(2 * hits, guesses + labels))
        for digit, (hits, guesses, labels) in enumerate(zip(found, guessed, written, strict=True))
    )


def calibration(predictions: LabelledPredictions, bins: int = BINS) -> Reliability:
    """The expected calibration error: the mean distance between confidence and the share right, over the digits.

    Guo et al., "On calibration of modern neural networks", ICML 2017: bins of equal width, each weighted by its count.
    """
    confidences, right = predictions.confidences[predictions.is_digit], predictions.is_right[predictions.is_digit]
    edges = np.arange(bins + 1) / bins
    places = np.searchsorted(edges[1:-1], confidences, side="left")  # a confidence on an edge belongs to the lower bin
    filled = []
    for place in np.unique(places).tolist():
        inside = places == place
        low, high = edges[place : place + 2].tolist()
        filled.append(Bin(low, high, float(confidences[inside].mean()), share_of(right[inside])))
    gaps = sum(abs(part.confidence * part.right.total - part.right.count) for part in filled)
    return Reliability(ratio(gaps, len(confidences)), tuple(filled))


def risk_coverage(predictions: LabelledPredictions, points: int = CURVE_POINTS) -> RiskCoverage:
    """The error rate of the digits whose confidence reaches a threshold, for at most `points` thresholds.

    Geifman and El-Yaniv, "Selective classification for deep neural networks", NIPS 2017. The area is the mean risk
    over the thresholds that the digits' own confidences set (Geifman, Uziel and El-Yaniv, ICLR 2019).
    """
    confidences, right = predictions.confidences[predictions.is_digit], predictions.is_right[predictions.is_digit]
    order = np.argsort(-confidences, kind="stable")
    thresholds = confidences[order]
    # No threshold can separate digits of the same confidence, so only the last of them is a point.
    ends = np.flatnonzero(np.diff(thresholds, append=-np.inf))
    kept = ends + 1
    risks = np.cumsum(~right[order])[ends] / kept
    area = ratio(float(risks @ np.diff(kept, prepend=0)), len(order))
    shown = np.linspace(0, len(ends) - 1, min(points, len(ends))).round().astype(int)
    rows = np.stack([kept / max(len(order), 1), risks, thresholds[ends]], axis=1)[shown].tolist()
    return RiskCoverage(tuple((coverage, risk, threshold) for coverage, risk, threshold in rows), area)
