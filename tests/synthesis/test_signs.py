import numpy as np
import pytest

from digitnet.reading.alphabet import SIGNS
from digitnet.synthesis.signs import joined_zeros, sign

HEIGHT, PEN = 40, 4


def drawn(character, count=20, height=HEIGHT, pen=PEN):
    rng = np.random.default_rng(0)
    return [sign(character, height, pen, rng) for _ in range(count)]


@pytest.mark.parametrize("character", SIGNS)
def test_every_sign_is_ink_that_fills_its_box_and_no_two_are_alike(character):
    shapes = set()
    for ink, top in drawn(character):
        assert ink.dtype == np.float32
        assert 0 <= ink.min() <= ink.max() <= 1
        assert ink.max() > 0.8
        for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]):
            assert edge.max() > 0.1
        assert -HEIGHT < top < 1.2 * HEIGHT
        shapes.add(ink.tobytes())
    assert len(shapes) == 20


@pytest.mark.parametrize("character", SIGNS)
@pytest.mark.parametrize("height", [8, 60])
def test_a_sign_has_the_size_of_the_digits_beside_it(character, height):
    for ink, _ in drawn(character, height=height, pen=max(0.8, height / 10)):
        assert 1 <= ink.shape[0] <= 2 * height
        assert 1 <= ink.shape[1] <= 5 * height


def test_points_and_commas_stand_at_the_foot_and_a_dash_in_the_middle():
    for character, least, most in ((".", 0.75, 1.15), (",", 0.75, 1.4), ("-", 0.25, 0.8), ("=", 0.2, 0.85)):
        for ink, top in drawn(character):
            assert least * HEIGHT < top + len(ink) / 2 < most * HEIGHT


def test_a_slash_and_a_bracket_reach_beyond_the_digits():
    for character in "/()":
        assert np.mean([len(ink) > HEIGHT for ink, _ in drawn(character)]) > 0.8


def test_brackets_open_to_their_own_side():
    for character, side in (("(", -1), (")", 1)):
        for ink, _ in drawn(character):
            rows = len(ink) // 5
            columns = np.arange(ink.shape[1])
            middle = (ink[2 * rows : 3 * rows].sum(0) @ columns) / ink[2 * rows : 3 * rows].sum()
            ends = np.concatenate([ink[:rows], ink[-rows:]]).sum(0)
            assert side * (middle - ends @ columns / ends.sum()) > 0


def test_zeros_in_one_stroke_have_their_columns_in_order_and_ink_in_them():
    rng = np.random.default_rng(3)
    for count in (2, 3, 4):
        for _ in range(10):
            ink, spans = joined_zeros(count, HEIGHT, PEN, rng)
            assert ink.shape[0] == pytest.approx(HEIGHT, rel=0.5)
            assert len(spans) == count
            assert spans == sorted(spans)
            for left, right in spans:
                assert 0 <= left < right <= ink.shape[1]
                assert ink[:, round(left) : round(right)].max() > 0.8
