import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitnet.errors import UsageError
from digitnet.evaluation import metrics
from digitnet.evaluation.metrics import LabelledPredictions
from digitnet.results import Digit

UNIFORM = (0.1,) * 10
BLANK = Digit(digit=None, confidence=0.0, reason="blank", best_guess=None, probabilities=UNIFORM)
EMPTY = LabelledPredictions("nothing", [], [])


def read(best_guess, confidence=0.9):
    return Digit(best_guess, confidence, None, best_guess, UNIFORM)


def abstained(best_guess, confidence=0.4, reason="unsure: 4 or 9"):
    return Digit(None, confidence, reason, best_guess, UNIFORM)


def predictions_of_ones(*groups):
    """Predictions for pictures of a 1, from groups of (confidence, how many are right, how many are wrong)."""
    digits = []
    for confidence, count_right, count_wrong in groups:
        digits += [read(1, confidence)] * count_right + [read(7, confidence)] * count_wrong
    return LabelledPredictions("ones", [1] * len(digits), digits)


def risk_of(*groups):
    return metrics.risk_coverage(predictions_of_ones(*groups))


def test_the_interval_of_8_in_10_is_the_one_worked_out_by_hand():
    share = metrics.share(8, 10)
    # middle (0.8 + 3.84146 / 20) / 1.384146 = 0.716740, half 1.959964 / 1.384146 * sqrt(0.016 + 0.0096036) = 0.226577
    assert (share.low, share.high) == (pytest.approx(0.490163, abs=2e-6), pytest.approx(0.943317, abs=2e-6))


def test_the_intervals_of_none_and_of_all_end_at_0_and_1_exactly_but_are_no_points():
    for total in range(1, 50):
        assert (metrics.share(0, total).low, metrics.share(total, total).high) == (0.0, 1.0)
    none, every = metrics.share(0, 3), metrics.share(3, 3)
    assert none.high == pytest.approx(1 - every.low)
    assert 0.5 < none.high < 0.6  # z² / (3 + z²)


def test_the_more_pictures_the_narrower_the_interval():
    widths = [share.high - share.low for share in (metrics.share(9 * n, 10 * n) for n in (1, 10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 5 * widths[2]


def test_accuracy_counts_the_best_guess_also_where_it_was_abstained():
    predictions = LabelledPredictions("mixed", [4, 4, 4, 4, 10], [read(4), abstained(4), read(9), BLANK, read(4)])
    found = metrics.compute_metrics(predictions)
    assert (found.accuracy.count, found.accuracy.total) == (2, 4)
    assert (found.answered.count, found.answered.total) == (2, 4)
    assert (found.wrong_answers.count, found.wrong_answers.total) == (1, 2)


def test_a_non_digit_is_rejected_where_no_digit_is_answered_whatever_was_guessed():
    predictions = LabelledPredictions(
        "letters", [10, 10, 10, 10, 3], [abstained(2, reason="not a digit"), BLANK, BLANK, read(2), abstained(3)]
    )
    found = metrics.compute_metrics(predictions)
    assert (found.rejected.count, found.rejected.total) == (3, 4)
    assert found.reasons == {"blank": 2, "not a digit": 1}
    assert list(found.reasons) == ["blank", "not a digit"]


def test_confusion_has_labels_down_and_guesses_across():
    predictions = LabelledPredictions("fours", [4, 4, 9, 4, 10], [read(9), abstained(9), read(9), BLANK, read(1)])
    expected = np.zeros((10, 10))
    expected[4, 9], expected[9, 9] = 2, 1
    assert np.array_equal(metrics.confusion(predictions), expected)


def test_labels_may_be_the_bytes_that_mnist_stores():
    predictions = LabelledPredictions("bytes", np.array([4, 9], np.uint8), [read(4), read(4)])
    found = metrics.compute_metrics(predictions)
    assert (found.accuracy.count, found.confusion[9][4]) == (1, 1)


def test_precision_and_recall_of_a_digit_are_those_counted_by_hand():
    labels = [4, 4, 4, 4, 9, 9, 1]
    predictions = LabelledPredictions("few", labels, [read(4), read(4), read(9), BLANK, read(9), read(4), read(1)])
    four = metrics.by_digit(predictions)[4]
    assert (four.precision.count, four.precision.total) == (2, 3)
    assert (four.recall.count, four.recall.total) == (2, 4)  # the blank one was missed too
    assert four.f1 == pytest.approx(2 / (3 / 2 + 4 / 2))


def test_a_digit_that_was_neither_written_nor_read_has_no_scores():
    zero = metrics.by_digit(predictions_of_ones((0.9, 2, 0)))[0]
    assert (zero.precision.fraction, zero.recall.fraction, zero.f1) == (None, None, None)


def test_predictions_that_are_right_as_often_as_they_are_sure_have_no_calibration_error():
    assert metrics.calibration(predictions_of_ones((0.75, 30, 10), (0.5, 20, 20), (0.25, 10, 30))).error == 0.0


def test_the_calibration_error_of_predictions_that_are_too_sure_is_the_gap():
    assert metrics.calibration(predictions_of_ones((0.9, 60, 40))).error == pytest.approx(0.3)


def test_each_bin_counts_in_the_calibration_error_as_much_as_it_holds():
    found = metrics.calibration(predictions_of_ones((0.9, 0, 10), (0.3, 12, 18)))
    assert found.error == pytest.approx((10 * 0.9 + 30 * 0.1) / 40)
    assert [(part.right.count, part.right.total) for part in found.bins] == [(12, 30), (0, 10)]


def test_a_confidence_on_the_edge_of_two_bins_belongs_to_the_lower_one():
    found = metrics.calibration(predictions_of_ones((0.0, 0, 1), (0.2, 1, 0), (0.6, 1, 0), (1.0, 1, 0)), bins=5)
    assert [(part.low, part.high, part.right.total) for part in found.bins] == [(0, 0.2, 2), (0.4, 0.6, 1), (0.8, 1, 1)]


def test_risk_falls_to_nothing_where_all_mistakes_are_the_least_sure():
    curve = risk_of((0.9, 5, 0), (0.8, 3, 0), (0.3, 0, 2))
    assert curve.points == ((0.5, 0.0, 0.9), (0.8, 0.0, 0.8), (1.0, 0.2, 0.3))
    assert curve.area == pytest.approx(0.2 * 0.2)


def test_sure_mistakes_make_a_larger_area_than_unsure_ones():
    unsure, sure = risk_of((0.9, 8, 0), (0.3, 0, 2)), risk_of((0.9, 0, 2), (0.3, 8, 0))
    assert unsure.area < 0.2 < sure.area


def test_a_confidence_that_tells_nothing_gives_the_error_rate_as_area():
    curve = risk_of((0.6, 7, 3))
    assert curve.points == ((1.0, 0.3, 0.6),)
    assert curve.area == pytest.approx(0.3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.7, 0.99]), st.booleans()), min_size=1, max_size=40), st.randoms()
)
def test_the_curve_covers_more_at_lower_thresholds_ends_at_the_error_rate_and_knows_no_order(pairs, random):
    def curve(pairs):
        digits = [read(1 if is_right else 7, confidence) for confidence, is_right in pairs]
        return metrics.risk_coverage(LabelledPredictions("any", [1] * len(digits), digits))

    found = curve(pairs)
    coverage, risk, threshold = zip(*found.points, strict=True)
    assert list(coverage) == sorted(set(coverage))
    assert list(threshold) == sorted(set(threshold), reverse=True)
    assert (coverage[-1], risk[-1]) == (1.0, sum(not is_right for _, is_right in pairs) / len(pairs))
    assert min(risk) <= found.area <= max(risk)
    random.shuffle(pairs)
    assert curve(pairs) == found


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_area():
    predictions = predictions_of_ones(*((1 - place / 2000, place % 5 > 0, place % 5 == 0) for place in range(1000)))
    thin, whole = metrics.risk_coverage(predictions, points=11), metrics.risk_coverage(predictions, points=1000)
    assert (len(thin.points), len(whole.points)) == (11, 1000)
    assert (thin.points[0], thin.points[-1], thin.area) == (whole.points[0], whole.points[-1], whole.area)
    assert set(thin.points) < set(whole.points)


def test_of_an_empty_set_nothing_is_claimed():
    found = metrics.compute_metrics(EMPTY)
    for share in (found.accuracy, found.answered, found.wrong_answers, found.rejected):
        assert (share.count, share.total, share.fraction, share.low, share.high) == (0, 0, None, 0.0, 1.0)
    assert (found.calibration.error, found.calibration.bins) == (None, ())
    assert (found.risk_coverage.area, found.risk_coverage.points) == (None, ())
    assert sum(map(sum, found.confusion)) == 0


@pytest.mark.parametrize("digits", [[], [read(1)], [BLANK], [abstained(7)]])
@pytest.mark.parametrize("label", [1, 10])
def test_all_metrics_of_any_set_can_be_written_as_json(digits, label):
    predictions = LabelledPredictions("any", np.full(len(digits), label), digits)
    json.dumps(asdict(metrics.compute_metrics(predictions)), allow_nan=False)


@pytest.mark.parametrize("field", ["digits", "images", "files"])
def test_a_set_whose_parts_differ_in_length_is_refused(field):
    parts = {"digits": [read(1)], "images": [None], "files": ["a.png"]}
    parts[field] = parts[field] * 2
    with pytest.raises(UsageError, match=f"1 labels but 2 {field}"):
        LabelledPredictions("mine", [1], **parts)


@pytest.mark.parametrize("label", [11, -1])
def test_a_label_that_is_no_digit_is_refused(label):
    with pytest.raises(UsageError, match=f"mine: {label} is no label"):
        LabelledPredictions("mine", [1, label], [read(1), read(1)])
