import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitnet.errors import UsageError
from digitnet.reading import answer
from digitnet.reading.answer import NOT_A_DIGIT, Rejection, Risk

RISKS = (Risk(0.1, 0.2), Risk(0.6, 0.04), Risk(0.9, 0.01), Risk(0.99, 0.0))


def eleven(**probabilities):
    """Eleven probabilities: _4=0.6 is that of a 4, none=0.3 that of no digit; what is left is spread over the rest."""
    given = {NOT_A_DIGIT if name == "none" else int(name[1:]): value for name, value in probabilities.items()}
    rest = (1 - sum(given.values())) / (11 - len(given))
    return np.array([given.get(place, rest) for place in range(11)], np.float32)


@pytest.mark.parametrize(
    ("max_error", "threshold"), [(1.0, 0.1), (0.2, 0.1), (0.1, 0.6), (0.04, 0.6), (0.005, 0.99), (0.0, 0.99)]
)
def test_the_lowest_confidence_is_chosen_that_keeps_the_error(max_error, threshold):
    assert answer.rejection_for(RISKS, max_error) == Rejection(threshold)


def test_a_model_that_is_never_sure_enough_answers_nothing():
    never = answer.rejection_for(RISKS[:3], 0.005)
    assert never.accepts(eleven(_4=1.0)[np.newaxis]) == [False]


def test_without_a_largest_error_everything_is_answered():
    always = answer.rejection_for(RISKS, None)
    assert always.never
    assert always.accepts(eleven(none=0.9)[np.newaxis]) == [True]


@pytest.mark.parametrize("max_error", [-0.01, 1.5, float("nan")])
def test_an_error_that_is_no_fraction_is_refused(max_error):
    with pytest.raises(UsageError, match="fraction"):
        answer.rejection_for(RISKS, max_error)


def test_sureness_is_confidence_with_more_caution_about_what_is_no_digit():
    assert answer.score(eleven(_4=0.8, _9=0.2)) == pytest.approx(0.8)
    assert answer.score(eleven(_4=0.8, none=0.2)) == pytest.approx(0.8 / (0.8 + 0.2 * answer.IN_PICTURE))
    assert answer.score(eleven(_4=0.8, none=0.2), 4.0) == pytest.approx(0.8 / (0.8 + 0.2 * 4))
    several = np.stack([eleven(_4=0.8, _9=0.2), eleven(none=1.0)])
    assert answer.score(several).tolist() == pytest.approx([0.8, 0.0])


def test_from_the_threshold_upwards_it_is_sure():
    several = np.stack([eleven(_4=0.95, _9=0.05), eleven(_4=0.85, _9=0.15), eleven(_4=0.95, none=0.05)])
    assert Rejection(0.9).accepts(several) == [True, False, False]


def test_a_digit_among_others_needs_less_proof_that_it_is_one_than_a_lone_one():
    unsure = eleven(_4=0.9, none=0.1)[np.newaxis]
    assert Rejection(0.6).accepts(unsure, answer.IN_LINE) == [True]
    assert Rejection(0.6).accepts(unsure, answer.IN_PICTURE) == [False]


def test_the_reason_names_what_else_it_could_be():
    assert answer.reason(eleven(_4=0.6, _9=0.3)) == "unsure: 4 or 9"
    assert answer.reason(eleven(_9=0.6, _4=0.3)) == "unsure: 9 or 4"
    assert answer.reason(eleven(_4=0.6, none=0.3)) == "not a digit"
    assert answer.reason(eleven(none=0.95)) == "not a digit"
    assert answer.reason(eleven(_4=0.6, _9=0.3), strength=0.05) == "too faint"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1))))
def test_the_table_survives_the_metadata(rows):
    risks = tuple(Risk(*row) for row in rows)
    assert answer.risks_from_json(answer.risks_to_json(risks)) == risks


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[[1]]", '[["a", 1]]'])
def test_what_is_no_table_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - json has its own words
        answer.risks_from_json(text)
