import numpy as np
import pytest

from digitnet.teaching.pupil import RIGHT, UNSURE, UNSURE_AND_WRONG
from digitnet.teaching.rules import flip_test, no_gain, sign_test

SEVENS = np.full(8, 7)
UNSURE_SEVENS = np.full(8, UNSURE)


@pytest.mark.parametrize(("heads", "tails", "probability"), [(0, 0, 1), (5, 0, 1 / 32), (0, 5, 1), (3, 1, 5 / 16)])
def test_the_sign_test_is_that_of_a_fair_coin(heads, tails, probability):
    assert sign_test(heads, tails) == pytest.approx(probability)


@pytest.mark.parametrize(
    ("gains", "probability"),
    [([1] * 5, 1 / 32), ([3, 1], 1 / 4), ([3, -1], 1 / 2), ([-1] * 5, 1), ([0, 0, 0], 1), ([9, -1, -1, -1], 1 / 2)],
)
def test_the_flip_test_counts_the_signs_that_give_as_much(gains, probability):
    assert flip_test(np.array(gains, np.float32)) == pytest.approx(probability, abs=0.05)


def test_labels_that_all_become_likelier_prove_a_gain_though_no_answer_changes():
    gains = np.full(8, 0.01, np.float32)
    assert no_gain(UNSURE_SEVENS, UNSURE_SEVENS, gains, SEVENS, at_once=False) is None


@pytest.mark.parametrize("level", [UNSURE_AND_WRONG, UNSURE])
def test_likelier_labels_prove_nothing_if_a_picture_is_read_worse(level):
    before = np.array([level + 1, *UNSURE_SEVENS[1:]])
    after = np.array([level, *UNSURE_SEVENS[1:]])
    why = no_gain(before, after, np.full(8, 0.01, np.float32), SEVENS, at_once=False)
    assert why is not None
    assert "1 worse" in why


def test_a_gain_on_one_picture_of_many_may_be_chance():
    after = np.array([RIGHT, *UNSURE_SEVENS[1:]])
    gains = np.array([3, *[0.01, -0.02] * 3, 0.01], np.float32)
    why = no_gain(UNSURE_SEVENS, after, gains, SEVENS, at_once=False)
    assert why is not None
    assert why.endswith("8 more 7s")
