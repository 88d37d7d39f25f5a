import itertools

import numpy as np
import pytest

from digitnet.errors import UsageError
from digitnet.synthesis.pages import MadeDigit, MadePage, PageMaker
from digitnet.synthesis.paper import PAPERS
from digitnet.synthesis.sheets import CUT_OFF


def contrast(page, digit):
    """How uneven the brightness is within a digit's box."""
    return page.picture[int(digit.top) : int(digit.bottom), int(digit.left) : int(digit.right)].astype(float).std()


@pytest.fixture(scope="module")
def stroke_maker(maker):
    return PageMaker(maker.pool.digits, maker.pool.labels, maker.pool.negatives, strokes=1.0)


@pytest.mark.parametrize("kind", ["page", "cut_out"])
@pytest.mark.parametrize("seed", [4, 6, 7])
def test_a_seed_always_makes_the_same_page_and_another_seed_another_page(stroke_maker, kind, seed):
    first, same, other = (getattr(stroke_maker, kind)(np.random.default_rng(s)) for s in (seed, seed, seed + 100))
    assert (first.picture == same.picture).all()
    assert first.digits == same.digits
    assert not np.array_equal(first.picture, other.picture)


@pytest.mark.parametrize("size", [(192, 256), (96, 640), (480, 64)])
def test_a_page_has_the_size_asked_for_and_its_digits_lie_on_it(maker, size):
    rng = np.random.default_rng(1)
    for _ in range(20):
        page = maker.page(rng, *size)
        assert page.picture.shape == size
        assert page.picture.dtype == np.uint8
        for digit in page.digits:
            assert digit.left < digit.right
            assert digit.top < digit.bottom
            wide = max(0, min(size[1], digit.right) - max(0, digit.left))
            tall = max(0, min(size[0], digit.bottom) - max(0, digit.top))
            part = wide * tall / ((digit.right - digit.left) * (digit.bottom - digit.top))
            assert (digit.label is not None) == (part >= CUT_OFF)


def test_pages_hold_many_few_or_no_digits_of_all_sizes(maker):
    rng = np.random.default_rng(2)
    pages = [maker.page(rng) for _ in range(150)]
    counts = [len(page.digits) for page in pages]
    heights = [digit.bottom - digit.top for page in pages for digit in page.digits if digit.label is not None]
    assert 10 < sum(count == 0 for count in counts) < 60
    assert max(counts) > 30
    assert min(heights) < 14
    assert max(heights) > 80
    assert {digit.label for page in pages for digit in page.digits} == {None, *range(10)}


def test_there_is_ink_in_the_box_of_a_digit(maker):
    rng = np.random.default_rng(3)
    clean = PageMaker(maker.pool.digits, maker.pool.labels, maker.pool.negatives[:0], {"plain": PAPERS["plain"]})
    pages = [clean.number(rng, 4) for _ in range(20)]
    inside = [contrast(page, digit) for page in pages for digit in page.digits]
    corner = [page.picture[:6, :6].astype(float).std() for page in pages]
    assert np.median(inside) > 3 * np.median(corner)


@pytest.mark.parametrize("touching", [False, True])
def test_a_number_has_the_length_asked_for_and_its_digits_touch_only_when_asked(maker, touching):
    rng = np.random.default_rng(6)
    for length in (1, 2, 5, 20):
        page = maker.number(rng, length, touching=touching)
        assert len(page.text) == len(page.digits) == length
        assert page.text == "".join(str(digit.label) for digit in page.digits)
        for left, right in itertools.pairwise(page.digits):
            assert (right.left <= left.right + 1) == touching


def test_the_text_of_a_page_has_its_lines_and_a_blank_for_each_wide_gap():
    digits = (
        MadeDigit(4, 0, 0, 9, 9, line=0),
        MadeDigit(2, 15, 0, 19, 9, line=0),
        MadeDigit(None, 30, 0, 39, 9, line=0),
        MadeDigit(7, 60, 0, 69, 9, line=0),
        MadeDigit(1, 0, 20, 9, 29, line=1),
        MadeDigit(1, 17, 20, 26, 29, line=1),
    )
    assert MadePage(np.zeros((40, 80), np.uint8), digits).text == "42 7\n1 1"


def test_a_maker_without_zeros_makes_pages_without_zeros(maker):
    other = maker.pool.labels != 0
    without = PageMaker(maker.pool.digits[other], maker.pool.labels[other], maker.pool.negatives)
    rng = np.random.default_rng(0)
    labels = {digit.label for _ in range(60) for digit in without.page(rng).digits}
    assert labels == {None, *range(1, 10)}


def test_a_given_text_is_written(maker):
    page = maker.text(np.random.default_rng(3), "0171 23\n\n5 5")
    assert page.text == "0171 23\n5 5"
    assert {digit.line for digit in page.digits} == {0, 2}


@pytest.mark.parametrize("text", ["", "  ", "12a", "1\t2"])
def test_a_text_of_anything_but_digits_is_refused(maker, text):
    with pytest.raises(UsageError, match="cannot write the text"):
        maker.text(np.random.default_rng(3), text)


def test_numbers_are_cut_out_so_tightly_that_digits_touch_the_edge_or_are_cut_by_it(stroke_maker):
    rng = np.random.default_rng(8)
    pages = [stroke_maker.cut_out(rng, 20, 40) for _ in range(150)]
    firsts = [min((digit for digit in page.digits if digit.line == 0), key=lambda digit: digit.left) for page in pages]
    lefts = np.array([digit.left for digit in firsts])
    assert (lefts <= 3).mean() > 0.3
    assert lefts.max() < 0.35 * 50 + 1
    assert 0.01 < np.mean([digit.label is None for digit in firsts]) < 0.2
    lengths = {sum(digit.line == 0 for digit in page.digits) for page in pages}
    assert lengths >= set(range(1, 9))
    for page in pages:
        height, width = page.picture.shape
        assert all(digit.right > 0 and digit.left < width and digit.bottom > 0 < height for digit in page.digits)


def test_the_ink_of_a_digit_that_stroke_hands_write_lies_in_its_box(stroke_maker):
    rng = np.random.default_rng(9)
    for _ in range(40):
        page = stroke_maker.number(rng, 3, difficulties=frozenset())
        picture = page.picture.astype(float)
        difference = np.abs(picture - np.median(picture))
        changed = difference > 0.35 * difference.max()
        outside = changed.copy()
        for digit in page.digits:
            box = slice(int(digit.top), int(digit.bottom)), slice(int(digit.left), int(digit.right))
            outside[box] = False
            assert changed[box].any(axis=1).mean() > 0.6
        assert outside.sum() < 0.06 * changed.sum() + 10


def test_digits_stand_within_three_pixels_of_every_edge_of_a_page(stroke_maker):
    rng = np.random.default_rng(10)
    whole = [digit for _ in range(200) for digit in stroke_maker.page(rng, 160, 224).digits if digit.label is not None]
    assert sum(abs(digit.left) <= 3 for digit in whole) > 10
    assert sum(abs(digit.top) <= 3 for digit in whole) > 10
    assert sum(abs(digit.right - 224) <= 3 for digit in whole) > 10
    assert sum(abs(digit.bottom - 160) <= 3 for digit in whole) > 5


def test_easy_numbers_stand_out_from_flat_paper(stroke_maker):
    rng = np.random.default_rng(11)
    for _ in range(20):
        page = stroke_maker.number(rng, 4, difficulties=frozenset())
        assert page.picture[:6, :6].astype(float).std() < 8
        assert np.median([contrast(page, digit) for digit in page.digits]) > 20
