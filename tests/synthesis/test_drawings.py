import numpy as np

from digitnet.synthesis.drawings import drawings


def test_drawings_are_the_same_for_a_seed_and_differ_from_each_other():
    one, again, other = drawings(60, 3), drawings(60, 3), drawings(60, 4)
    assert one.shape == (60, 28, 28)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert len(np.unique(one.reshape(60, -1), axis=0)) > 50
