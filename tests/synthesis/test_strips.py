import itertools
from dataclasses import replace

import numpy as np
import pytest

from digitnet.reading.alphabet import DIGITS, OTHER, SIGNS
from digitnet.synthesis import strips as making
from digitnet.synthesis.strips import StripMaker


@pytest.fixture(scope="module")
def strip_maker(maker):
    return StripMaker(maker.pool)


@pytest.fixture(scope="module")
def short(strip_maker):
    """The strips of 150 sheets."""
    return [strip for number in range(150) for strip in strip_maker.strips(np.random.default_rng(number))]


@pytest.fixture(scope="module")
def long(strip_maker):
    """The strips of 30 sheets with long numbers."""
    return [strip for number in range(30) for strip in strip_maker.strips(np.random.default_rng(number), long=True)]


def digits_of(strip):
    return [symbol for symbol, _ in strip.symbols if symbol < len(DIGITS)]


@pytest.mark.parametrize("options", [{}, {"long": True}, {"exaggerated": False}])
def test_the_same_seed_gives_the_same_strips_and_another_one_others(strip_maker, options):
    one, again, other = (strip_maker.strips(np.random.default_rng(seed), **options) for seed in (7, 7, 8))
    assert len(one) == len(again) > 0
    for first, second in zip(one, again, strict=True):
        assert np.array_equal(first.picture, second.picture)
        assert (first.symbols, first.unknown) == (second.symbols, second.unknown)
    assert [strip.picture.shape for strip in one] != [strip.picture.shape for strip in other]


def test_a_strip_is_grey_bytes_and_its_symbols_stand_in_order_inside_it(short, long):
    for strip in [*short, *long]:
        assert strip.picture.dtype == np.uint8
        height, width = strip.picture.shape
        assert min(height, width) >= 4
        middles = [left + right for _, (left, right) in strip.symbols]
        assert middles == sorted(middles)
        for left, right in [*(span for _, span in strip.symbols), *strip.unknown]:
            assert -1 <= left <= right <= width + 1
        assert all(0 <= symbol <= OTHER for symbol, _ in strip.symbols)


@pytest.mark.parametrize("exaggerated", [False, True])
def test_the_columns_of_every_label_hold_ink(strip_maker, monkeypatch, exaggerated):
    """Without difficulties, since nobody can tell noise from ink otherwise."""
    monkeypatch.setattr(making, "random_difficulties", lambda rng: frozenset())
    monkeypatch.setattr(making, "PATTERNED", 0.0)
    inked, elsewhere = [], []
    for number in range(40):
        for strip in strip_maker.strips(np.random.default_rng(number), exaggerated=exaggerated):
            picture = strip.picture.astype(float)
            paper = np.median(picture)
            away = np.abs(picture - paper)
            inside = np.zeros(picture.shape[1], bool)
            for symbol, (left, right) in strip.symbols:
                columns = slice(max(0, int(left)), int(right) + 2)
                inside[columns] = True
                if symbol < len(DIGITS):
                    inked.append(away[:, columns].max() > 25)
            if not inside.all():
                elsewhere.append(away[:, ~inside].mean() < away[:, inside].mean() if inside.any() else True)
    assert len(inked) > 100
    assert np.mean(inked) > 0.98
    assert np.mean(elsewhere) > 0.75


def test_single_digits_are_about_a_third_of_the_strips_and_some_hold_none(short):
    counts = np.array([len(digits_of(strip)) for strip in short])
    assert 0.2 < np.mean(counts == 1) < 0.65
    assert 0.04 < np.mean(counts == 0) < 0.4
    assert np.mean(counts > 1) > 0.2
    assert {digit for strip in short for digit in digits_of(strip)} == set(range(10))


def test_long_strips_have_many_digits_up_to_twenty(long):
    counts = [len(digits_of(strip)) for strip in long if digits_of(strip)]
    assert np.median(counts) >= 6
    assert 16 <= max(counts) <= 20


def test_signs_of_numbers_have_their_own_classes_and_words_are_another_sign(short, long):
    seen = {symbol for strip in [*short, *long] for symbol, _ in strip.symbols}
    assert seen >= {10 + place for place in range(len(SIGNS))}
    assert OTHER in seen
    of_words = [strip for strip in short if strip.symbols and {symbol for symbol, _ in strip.symbols} == {OTHER}]
    assert len(of_words) > 3


def test_what_is_cut_off_is_unknown_rather_than_a_digit(short):
    cut_off = [strip for strip in short if strip.unknown]
    assert 0.01 < len(cut_off) / len(short) < 0.5


def test_digits_of_some_numbers_stand_so_near_that_the_boxes_of_slanted_ones_overlap(strip_maker, monkeypatch):
    usual = making.USUAL

    def overlapping(share):
        monkeypatch.setattr(making, "USUAL", replace(usual, kerned=share))
        strips = [
            one for seed in range(40) for one in strip_maker.strips(np.random.default_rng(seed), exaggerated=False)
        ]
        spans = [[span for symbol, span in strip.symbols if symbol < len(DIGITS)] for strip in strips]
        return np.mean([one[1] > other[0] for line in spans for one, other in itertools.pairwise(line)])

    assert overlapping(1.0) > overlapping(0.0) + 0.1


def test_strips_have_many_shapes_and_both_inks(short):
    shapes = np.array([strip.picture.shape for strip in short])
    ratios = shapes[:, 1] / shapes[:, 0]
    assert ratios.min() < 0.8
    assert ratios.max() > 5
    assert shapes[:, 0].max() > 4 * shapes[:, 0].min()
    dark = np.mean([np.median(strip.picture) > strip.picture.mean() for strip in short if digits_of(strip)])
    assert 0.4 < dark < 0.98


def test_a_picture_without_marks_gives_strips_without_symbols(strip_maker, monkeypatch):
    monkeypatch.setattr(making, "NOTHING", 1.0)
    found = [strip for number in range(12) for strip in strip_maker.strips(np.random.default_rng(number))]
    assert found
    assert not any(digits_of(strip) for strip in found)
