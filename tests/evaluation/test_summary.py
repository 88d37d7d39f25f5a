import pytest

from digitnet.errors import UsageError
from digitnet.evaluation.metrics import LabelledPredictions
from digitnet.evaluation.page_metrics import LabelledPages
from digitnet.evaluation.summary import compare, describe, why_not_kept
from digitnet.results import Digit
from digitnet.teaching.lesson import Lesson, Tally

UNIFORM = (0.1,) * 10
PAGES = LabelledPages("pages", ["12 3", "4\n5", "6"], ["1?3", "44", ""], ["123", "44", ""])


def read(best_guess):
    return Digit(best_guess, 0.9, None, best_guess, UNIFORM)


def test_a_set_of_digits_and_non_digits_is_described_in_a_line():
    rejected = Digit(None, 0.4, "not a digit", 3, UNIFORM)
    mixed = LabelledPredictions("mixed", [1, 1, 10, 10], [read(1), read(7), rejected, read(3)])
    assert describe(mixed) == (
        "mixed: 50.00% right (95 % interval 9.45% to 90.55%), 100.00% answered, 50.00% of the answers wrong, "
        "calibration error 40.00%, 50.00% of 2 non-digits rejected"
    )


def test_a_set_of_pages_is_described_in_a_line():
    assert describe(PAGES) == (
        "pages: 33.33% of the pages right (95 % interval 6.15% to 79.23%), digit error rate 33.33%, "
        "33.33% of the pages without any ? (95 % interval 6.15% to 79.23%), "
        "100.00% of those wrong (95 % interval 20.65% to 100.00%)"
    )


@pytest.mark.parametrize("nothing", [LabelledPredictions("nothing", [], []), LabelledPages("nothing", [], [], [])])
def test_a_set_without_pictures_is_described_as_such(nothing):
    assert describe(nothing) == "nothing: no pictures"


def test_a_comparison_on_pages_gives_the_digit_error_rates():
    right = LabelledPages("other", PAGES.labels, PAGES.labels, PAGES.labels)
    first, second, *_ = compare(PAGES, right).splitlines()
    assert first.endswith(" 33.33% right, 1 of 3, digit error rate 33.33%")
    assert second.endswith(" 100.00% right, 3 of 3, digit error rate 0.00%")


def test_two_models_are_compared_in_a_few_plain_lines():
    labels = [1] * 98
    a = LabelledPredictions("mine", labels, [read(1)] * 93 + [read(7)] * 5)
    b = LabelledPredictions("shipped", labels, [read(1)] * 90 + [read(7)] * 3 + [read(1)] + [read(7)] * 4)
    assert compare(a, b).splitlines() == [
        "mine        94.90% right, 93 of 98",
        "shipped     92.86% right, 91 of 98",
        "difference  +2.04 points (95% interval -2.37 to +6.37)",
        "only mine right: 3; only shipped right: 1",
        "p = 0.625 (McNemar's exact paired test, two-sided)",
    ]


def test_comparing_on_nothing_says_so_and_on_different_pictures_is_refused():
    nothing = LabelledPredictions("nothing", [], [])
    assert compare(nothing, nothing) == "no pictures to compare on"
    with pytest.raises(UsageError, match="labels differ"):
        compare(nothing, LabelledPredictions("one", [1], [read(1)]))


def untaught(before, reason="no gain beyond chance; more pictures like those that are read wrong would help"):
    return Lesson(None, reason, before.total, before, before, Tally(1, 1, 1, 0), Tally(1, 1, 1, 0))


def test_where_all_is_read_right_no_more_of_what_is_read_wrong_is_asked_for():
    why = why_not_kept(untaught(Tally(200, 200, 194, 0)))
    assert why.startswith("all 200 are read right already, 6 of them not surely enough for an answer")
    assert "wrong" not in why


def test_where_something_is_read_wrong_or_nothing_is_unsure_the_reason_is_that_of_the_lesson():
    for before in (Tally(200, 199, 194, 0), Tally(200, 200, 200, 0)):
        lesson = untaught(before)
        assert why_not_kept(lesson) == lesson.reason
