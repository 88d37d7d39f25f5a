import numpy as np

from digitnet.teaching.guard import GUARD, replay_and_guard


def test_the_guard_set_is_small_and_both_halves_hold_each_digit_and_negatives():
    assert GUARD.stat().st_size < 410_000
    for half in replay_and_guard():
        assert half.images.shape == (len(half.labels), 28, 28)
        assert np.bincount(half.labels, minlength=11).min() > 50
        assert half.images.max() <= 1
