import collections
import itertools

import numpy as np
import pytest

from digitnet.reading.alphabet import DIGITS, SIGNS, SYMBOLS
from digitnet.synthesis.numbers import LONGEST, digits, number


def many(count, **options):
    rng = np.random.default_rng(0)
    return [number(rng, **options) for _ in range(count)]


def of_digits(text):
    return "".join(character for character in text if character in DIGITS)


def test_the_same_seed_gives_the_same_numbers():
    assert many(20) == many(20)
    assert len(set(many(200))) > 100


def test_numbers_hold_digits_and_the_signs_that_the_line_reader_knows():
    texts = many(1500)
    assert set("".join(texts)) == set(SYMBOLS)
    assert all(of_digits(text) for text in texts)
    assert 0.3 < np.mean([text.isdigit() for text in texts]) < 0.75


def test_most_numbers_are_short_and_long_ones_have_up_to_twenty_digits():
    short = [len(text) for text in many(600) if text.isdigit()]
    assert {1, 2, 3, 4, 5, 6, 7, 8} == set(short)
    assert 2 <= np.median(short) <= 4
    long = [len(text) for text in many(600, long=True) if text.isdigit()]
    assert (min(long), max(long)) == (6, LONGEST) == (6, 20)


@pytest.mark.parametrize("length", [1, 2, 3, 20])
def test_a_row_has_as_many_digits_as_asked_for(length):
    rng = np.random.default_rng(1)
    rows = [digits(rng, length) for _ in range(200)]
    assert {len(row) for row in rows} == {length}
    assert set("".join(rows)) == set(DIGITS)


def test_equal_digits_stand_side_by_side_more_often_than_by_chance_and_thin_ones_are_frequent():
    rng = np.random.default_rng(2)
    rows = [digits(rng, 8) for _ in range(800)]
    equal = np.mean([one == other for row in rows for one, other in itertools.pairwise(row)])
    assert equal > 0.13
    counts = collections.Counter("".join(rows))
    assert {digit for digit, _ in counts.most_common(3)} == {"0", "1", "7"}


def test_many_rows_begin_or_end_with_a_1():
    rng = np.random.default_rng(3)
    rows = [digits(rng, 4) for _ in range(800)]
    for place in (0, -1):
        assert 0.2 < np.mean([row[place] == "1" for row in rows]) < 0.4


def test_amounts_are_often_round_and_end_with_what_keeps_others_from_adding_to_them():
    amounts = [text for text in many(3000) if len(of_digits(text)) >= 3]
    assert np.mean([of_digits(text).endswith("00") for text in amounts]) > 0.1
    assert np.mean([text[-1] in ".-=," for text in amounts]) > 0.15
    assert any(text[-4] in ".," and of_digits(text).endswith("000") for text in amounts)


def test_no_sign_of_a_number_is_unknown_to_the_alphabet():
    assert len(SYMBOLS) == len(set(SYMBOLS)) == len(DIGITS) + len(SIGNS)
