import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitnet.errors import UsageError
from digitnet.evaluation.page_metrics import LabelledPages, best_guess_text, compute_page_metrics, edit_distance
from digitnet.results import Box, Digit, Line, Page

digit_strings = st.text("0123456789", max_size=6)


def test_pages_are_scored_as_counted_by_hand():
    labels = ["12", "345", "6", "78", "9"]
    best_guesses = ["12", "35", "6", "79", ""]
    texts = ["12", "3?", "?", "79", ""]
    found = compute_page_metrics(LabelledPages("mine", labels, texts, best_guesses, unreadable=2))
    assert (found.name, found.unreadable) == ("mine", 2)
    assert (found.accuracy.count, found.accuracy.total) == (2, 5)
    assert (found.answered.count, found.answered.total) == (2, 5)  # a page on which nothing was found is no answer
    assert (found.wrong_answers.count, found.wrong_answers.total) == (1, 2)
    assert (found.digit_errors, found.digits) == (3, 9)  # the 4 and the 9 are missing, the 8 is wrong
    assert found.digit_error_rate == 3 / 9
    assert found.accuracy.low < 2 / 5 < found.accuracy.high


def test_blanks_and_line_breaks_do_not_count():
    found = compute_page_metrics(LabelledPages("mine", ["12 3\r\n45"], ["1 2\n345"], ["123 4\n5"]))
    assert (found.accuracy.fraction, found.wrong_answers.fraction, found.digit_error_rate) == (1, 0, 0)


def test_pages_without_digits_are_right_where_nothing_is_read():
    found = compute_page_metrics(LabelledPages("letters", ["", ""], ["", "1"], ["", "1"]))
    assert (found.accuracy.count, found.answered.count, found.wrong_answers.count) == (1, 1, 1)
    assert (found.digits, found.digit_errors, found.digit_error_rate) == (0, 1, None)


def test_no_pages_have_no_scores_and_can_be_written_as_json():
    found = compute_page_metrics(LabelledPages("nothing", [], [], []))
    assert (found.accuracy.fraction, found.digit_error_rate) == (None, None)
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize("field", ["texts", "best_guesses", "files"])
def test_pages_whose_fields_differ_in_length_are_refused(field):
    fields = {"texts": ["1"], "best_guesses": ["1"], "files": ["a.png"]}
    fields[field] = fields[field] * 2
    with pytest.raises(UsageError, match=f"1 labels but 2 {field}"):
        LabelledPages("mine", ["1"], **fields)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "123", 3), ("123", "123", 0), ("123", "133", 1), ("0123", "1234", 2), ("12", "21", 2)],
)
def test_the_edit_distance_is_the_one_counted_by_hand(one, other, distance):
    assert edit_distance(one, other) == distance


@given(digit_strings, digit_strings, digit_strings)
def test_the_edit_distance_is_a_distance(a, b, c):
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a) <= edit_distance(a, c) + edit_distance(c, b)


def test_best_guesses_take_the_place_of_question_marks():
    def digit(answer, best_guess, x):
        return Digit(answer, 0.5, None, best_guess, (0.1,) * 10, Box(x, 0, 10, 20))

    lines = (
        Line((digit(1, 1, 0), digit(None, 7, 12), digit(3, 3, 90)), 0.5, Box(0, 0, 100, 20)),
        Line((digit(None, 0, 0),), 0.5, Box(0, 0, 10, 20)),
    )
    page = Page(100, 50, lines)
    assert (page.text, best_guess_text(page)) == ("1? 3\n?", "17 3\n0")
