from dataclasses import replace

import cv2
import numpy as np
import pytest

from digitnet.synthesis.stroke_hands import inked, random_stroke_hand, written
from digitnet.synthesis.variants import variants

BY_KIND = {variant.kind: variant for variant in variants()}


def plain_hand():
    hand = random_stroke_hand(np.random.default_rng(0))
    return replace(
        hand,
        slant=0.0,
        turn=0.0,
        stretch=1.0,
        unsteady=0.0,
        habits=np.zeros((2, 4, 4)),
        loops=np.ones(2),
        softness=0,
        pen=0.06,
        pen_kind="round",
        broken=0.0,
    )


def lean(strokes):
    """By how much the top of a line lies further right than its bottom, for a height of 1."""
    line = strokes[0]
    return line[line[:, 1].argmin(), 0] - line[line[:, 1].argmax(), 0]


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.kind)
def test_every_variant_is_written_at_height_1_by_every_hand(variant):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        strokes = written(variant, random_stroke_hand(rng), rng)
        assert len(strokes) == len(variant.starts) - 1
        every = np.concatenate(strokes)
        assert every.min(0) == pytest.approx([0, 0])
        assert every[:, 1].max() == pytest.approx(1)
        assert 0 <= every[:, 0].max() < 2
        # dense points: no piece is longer than a tenth of the digit
        assert max(np.hypot(*np.diff(stroke, axis=0).T).max() for stroke in strokes) < 0.15


@pytest.mark.parametrize("height", [9, 30, 60, 150.5])
@pytest.mark.parametrize("kind", ["round", "flat", "pressure", "brush"])
def test_ink_has_the_height_asked_for_and_a_little_more_for_the_pen(kind, height):
    rng = np.random.default_rng(1)
    hand = replace(plain_hand(), pen_kind=kind)
    for name in ("8 S", "1 line", "4 open"):
        ink = inked(written(BY_KIND[name], hand, rng), BY_KIND[name], hand, height, rng)
        assert ink.dtype == np.float32
        assert 0 <= ink.min() <= ink.max() <= 1
        assert 0.9 * height - 1 < len(ink) < 1.15 * height + 2


def test_digits_of_one_hand_are_more_alike_than_those_of_different_hands():
    rng = np.random.default_rng(2)
    line = BY_KIND["1 line"]
    leans = []
    for _ in range(30):
        hand = random_stroke_hand(rng)
        leans.append([lean(written(line, hand, rng)) for _ in range(8)])
    assert np.std(leans, axis=1).mean() < 0.5 * np.mean(leans, axis=1).std()


def test_a_hand_keeps_to_its_one_or_two_variants_of_a_digit():
    rng = np.random.default_rng(3)
    hands = [random_stroke_hand(rng) for _ in range(50)]
    for hand in hands:
        seen = {hand.variant(9, rng) for _ in range(20)}
        assert seen <= set(hand.variants[9])
        assert 1 <= len(hand.variants[9]) <= 2
    assert len({hand.variants[9][0] for hand in hands}) > 5


def test_slant_stretch_and_pen_do_what_they_say():
    def drawn(**settings):
        rng = np.random.default_rng(4)
        hand = replace(plain_hand(), **settings)
        strokes = written(BY_KIND["0 oval"], hand, rng)
        return strokes, inked(strokes, BY_KIND["0 oval"], hand, 80, rng)

    strokes, ink = drawn()
    wide, _ = drawn(stretch=1.3)
    assert np.ptp(wide[0][:, 0]) == pytest.approx(1.3 * np.ptp(strokes[0][:, 0]), rel=0.02)
    assert drawn(pen=0.12)[1].sum() > 1.5 * ink.sum()
    assert drawn(broken=0.25)[1].mean() < ink.mean()
    rng = np.random.default_rng(5)
    assert lean(written(BY_KIND["1 line"], replace(plain_hand(), slant=20.0), rng)) == pytest.approx(0.36, abs=0.05)


@pytest.mark.parametrize("name", ["8 circles", "8 snowman", "8 tall"])
def test_wide_pens_leave_both_loops_of_a_narrow_8_open(name):
    rng = np.random.default_rng(6)
    hand = replace(plain_hand(), pen=0.24, stretch=0.75)
    ink = inked(written(BY_KIND[name], hand, rng), BY_KIND[name], hand, 100, rng)
    paper = np.pad(ink < 0.5, 1, constant_values=True).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(paper, connectivity=4)
    assert count - 2 == 2  # besides the ink and the paper around it
    assert stats[2:, cv2.CC_STAT_AREA].min() > 50
