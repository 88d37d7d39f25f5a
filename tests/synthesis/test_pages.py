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


def test_a_seed_always_makes_the_same_page_and_another_seed_another_page(maker):
    first, same, other = (maker.page(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert (first.picture == same.picture).all()
    assert first.digits == same.digits
    assert not (first.picture == other.picture).all()


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
