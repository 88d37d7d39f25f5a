import numpy as np
import pytest

from digitnet.imaging.normalise import NormalisedDigit
from digitnet.imaging.readings import Reading
from digitnet.inference.choice import CROWDED, LARGE, chosen, odds, of_digits
from digitnet.results import Box

DIGIT = NormalisedDigit(np.zeros((28, 28), np.float32), Box(0, 0, 1, 1), 1.0, several=False)


def reading(kind="detected", certainty=1.0, says=None, off_centre=0.0):
    """`says` is the digit that the detector is sure of."""
    logits = None if says is None else np.where(np.arange(10) == says, 4.0, -4.0)
    return Reading(kind, DIGIT, certainty, logits, off_centre)


def answers(none, **digits):
    """Eleven probabilities: `none` for "not a digit", and the rest shared by digits such as _7=1."""
    eleven = np.zeros(11, np.float32)
    for name, share in digits.items():
        eleven[int(name[1:])] = share * (1 - none)
    eleven[10] = none
    return eleven


def test_odds_grow_with_the_probability_of_a_digit():
    found = odds(np.stack([answers(0.5, _1=1), answers(0.1, _1=1), answers(0.0, _1=1)]))
    assert found[:2] == pytest.approx([1, 9], rel=1e-4)
    assert 1e6 < found[2] < np.inf


def test_the_reading_in_which_a_digit_is_likeliest_wins():
    best, eleven = chosen([reading(), reading()], np.stack([answers(0.9, _3=1), answers(0.001, _7=1)]))
    assert (best, int(eleven.argmax())) == (1, 7)
    assert eleven.sum() == pytest.approx(1)


def test_readings_that_agree_are_surer_than_one_and_readings_that_disagree_less_sure():
    one = chosen([reading()], answers(0.01, _7=1)[np.newaxis])[1][7]
    agreed = chosen([reading()] * 2, np.stack([answers(0.01, _7=1)] * 2))[1][7]
    disputed = chosen([reading()] * 2, np.stack([answers(0.01, _7=1), answers(0.01, _1=1)]))[1][7]
    assert disputed < one < agreed


def test_a_certain_detection_counts_more_than_an_uncertain_one():
    sure, unsure = (chosen([reading(certainty=c)], answers(0.1, _7=1)[np.newaxis])[1][10] for c in (0.9, 0.3))
    assert sure < unsure


def test_the_detector_has_a_say_in_which_digit_its_reading_shows():
    probabilities = answers(0.01, _7=0.6, _1=0.4)[np.newaxis]
    alone, agreed, disputed = (chosen([reading(says=says)], probabilities)[1] for says in (None, 7, 1))
    assert alone.argmax() == agreed.argmax() == 7
    assert agreed[7] > alone[7]
    assert disputed.argmax() == 1
    assert of_digits([reading(says=1)], probabilities).sum() == pytest.approx(1)


def test_a_detection_in_the_middle_counts_more_than_one_aside():
    readings = [reading(off_centre=0.6), reading(off_centre=0.1)]
    probabilities = np.stack([answers(0.01, _3=1), answers(0.01, _7=1)])
    for weights in (LARGE, CROWDED):
        best, eleven = chosen(readings, probabilities, weights)
        assert (best, int(eleven.argmax())) == (1, 7)


def test_where_no_reading_looks_like_a_digit_the_picture_is_none():
    _, eleven = chosen([reading("ink"), reading(certainty=0.2)], np.stack([answers(0.999, _7=1), answers(0.99, _1=1)]))
    assert eleven[10] > 0.5
