import math

import pytest

from digitnet.errors import UsageError
from digitnet.evaluation.comparison import compared
from digitnet.evaluation.metrics import LabelledPredictions
from digitnet.evaluation.page_metrics import LabelledPages
from digitnet.results import Digit

UNIFORM = (0.1,) * 10


def read(best_guess):
    return Digit(best_guess, 0.9, None, best_guess, UNIFORM)


def two_models(both, only_a, only_b, neither):
    """Two models' predictions for the same 1s, from how many each reads."""
    right_a = [True] * (both + only_a) + [False] * (only_b + neither)
    right_b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return tuple(
        LabelledPredictions(name, [1] * len(flags), [read(1 if is_right else 7) for is_right in flags])
        for name, flags in (("a", right_a), ("b", right_b))
    )


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 6, 2 / 64), (1, 5, 14 / 64), (5, 1, 14 / 64), (3, 3, 1.0), (0, 0, 1.0), (2, 8, 2 * (1 + 10 + 45) / 1024)],
)
def test_the_paired_test_gives_the_p_that_was_counted_by_hand(only_a, only_b, p):
    found = compared(*two_models(10, only_a, only_b, 4))
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(p, rel=1e-12)


def test_pictures_that_both_models_read_do_not_change_p():
    few, many = (compared(*two_models(both, 2, 8, 0)) for both in (0, 5000))
    assert few.p == many.p


def test_the_paired_test_holds_for_thousands_of_differences():
    found = compared(*two_models(0, 2450, 2550, 0))
    # the normal distribution with a correction of one half: 2 * (1 - Phi(99 / sqrt(5000)))
    assert found.p == pytest.approx(math.erfc(99 / math.sqrt(5000) / math.sqrt(2)), abs=1e-3)


def test_the_interval_of_a_difference_is_the_one_worked_out_by_hand():
    found = compared(*two_models(90, 3, 1, 4))
    # Agresti and Min: 2 / 100 and 1.959964 / 100 * sqrt(3 + 1 + 1 - 2 * 2 / 100) = 0.0436505
    assert found.difference == pytest.approx(2 / 98)
    assert (found.low, found.high) == (pytest.approx(-0.0236505, abs=1e-6), pytest.approx(0.0636505, abs=1e-6))


def test_a_difference_is_never_more_than_all():
    assert compared(*two_models(0, 1, 0, 0)).high == 1.0
    assert compared(*two_models(0, 0, 1, 0)).low == -1.0


def test_in_a_comparison_a_non_digit_is_right_where_it_is_rejected():
    a = LabelledPredictions("a", [10, 10], [Digit(None, 0.4, "not a digit", 1, UNIFORM), read(1)])
    b = LabelledPredictions("b", [10, 10], [read(1), read(1)])
    found = compared(a, b)
    assert (found.a.count, found.b.count, found.only_a, found.only_b) == (1, 0, 1, 0)


def test_predictions_for_different_pictures_are_not_compared():
    with pytest.raises(UsageError, match="a and b: the labels differ"):
        compared(LabelledPredictions("a", [1], [read(1)]), LabelledPredictions("b", [2], [read(1)]))


def test_of_no_pictures_no_difference_is_claimed():
    nothing = LabelledPredictions("nothing", [], [])
    found = compared(nothing, nothing)
    assert (found.difference, found.p) == (None, 1.0)
    assert found.low == -found.high < -0.9


def test_in_a_comparison_a_page_is_right_where_every_best_guess_is():
    labels = ["12 3", "4\n5", "6"]
    a = LabelledPages("a", labels, ["1?", "45", ""], ["123", "45", "6"])
    b = LabelledPages("b", labels, ["123", "4", "6"], ["123", "4", "6"])
    found = compared(a, b)
    assert (found.a.count, found.b.count, found.only_a, found.only_b) == (3, 2, 1, 0)
    with pytest.raises(UsageError, match="a and b: the labels differ"):
        compared(a, LabelledPages("b", ["12", "45", "6"], labels, labels))
