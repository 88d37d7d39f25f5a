import numpy as np
import pytest

from digitnet.synthesis.situations import in_situation
from digitnet.synthesis.strokes import digits_of


@pytest.fixture(scope="module")
def inks():
    return [digit.ink for digit in digits_of(3, 40)]


def test_pictures_are_the_same_for_the_same_random_numbers_and_differ_otherwise(inks):
    one, again, other = (in_situation(inks[0], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_pictures_are_grey_and_of_many_sizes(inks):
    rng = np.random.default_rng(0)
    pictures = [in_situation(ink, rng) for ink in inks]
    assert all(picture.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1 for picture in pictures)
    sides = [max(picture.shape) for picture in pictures]
    assert min(sides) < 64 < 300 < max(sides)


def test_ink_is_dark_on_light_and_light_on_dark_paper(inks):
    """Most pixels are paper or ground, so the median tells how bright it is."""
    rng = np.random.default_rng(0)
    medians = [np.median(in_situation(ink, rng)) for ink in inks]
    assert 0.1 < np.mean([median < 0.5 for median in medians]) < 0.9
