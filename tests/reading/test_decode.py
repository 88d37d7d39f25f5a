"""The decoder against sums over all paths, one by one."""

import itertools
import math

import numpy as np
import pytest
from helpers import satisfies

from digitnet.reading import decode as decoding
from digitnet.reading.alphabet import BLANK, CLASSES
from digitnet.reading.constraints import ANY_NUMBER, constrained
from digitnet.reading.decode import NONE, decode, of_digits

FEW = (1, 3, 7, NONE)  # what a column may show where all paths are counted
ALL = range(NONE + 1)


def columns_of(*columns):
    """Log-probabilities (T, 11) of columns such as {3: 0.9}; what is left is that of none."""
    shares = np.zeros((len(columns), NONE + 1))
    for row, given in zip(shares, columns, strict=True):
        for digit, share in given.items():
            row[digit] = share
        row[NONE] = 1 - sum(given.values())
    return np.log(np.maximum(shares, 1e-12))


def written(text, share=0.99, gap=2):
    """Columns of a text, each digit in one column with `gap` columns of none on both sides."""
    empty = [{}] * gap
    return columns_of(*empty, *(column for digit in text for column in ({int(digit): share}, *empty)))


def text_of(line):
    return "".join(str(digit.digit) for digit in line.digits)


def random_columns(rng, count, shown):
    columns = np.full((count, NONE + 1), -np.inf)
    columns[:, shown] = np.log(rng.dirichlet(np.full(len(shown), 0.7), count))
    return columns


def runs_of(path):
    """The runs (digit, first, last) of a path."""
    runs, place = [], 0
    for shown, same in itertools.groupby(path):
        count = len(list(same))
        if shown != NONE:
            runs.append((shown, place, place + count - 1))
        place += count
    return runs


def all_paths(columns, voices, shown, constraint):
    """The runs of every path that is allowed, and its weight."""
    for path in itertools.product(shown, repeat=len(columns)):
        runs = runs_of(path)
        if any(run[2] + 1 == after[1] for run, after in itertools.pairwise(runs)):
            continue  # no column of none between them
        if satisfies(constraint, [digit for digit, _, _ in runs]):
            weight = math.exp(columns[np.arange(len(path)), path].sum() + sum(voices[run[2], run[0]] for run in runs))
            yield runs, weight


def window(starts, left, right, digit):
    """The eleven probabilities of a window, from those that each digit starts in a column, (T, 10)."""
    ten = starts[math.ceil(left) : math.ceil(right)].sum(0)
    if ten.sum() > 1 and digit != NONE:
        ten[digit] = max(0, ten[digit] - (ten.sum() - 1))
    eleven = np.append(ten, max(0, 1 - ten.sum()))
    return eleven / eleven.sum()


def assert_is_the_sum_of_all_paths(columns, voices, shown, constraint):
    paths = list(all_paths(columns, np.zeros((len(columns), NONE)) if voices is None else voices, shown, constraint))
    total = sum(weight for _, weight in paths)
    (line,) = decode([columns], None if voices is None else [voices], constraint)
    expected = max(paths, key=lambda one: one[1])[0]
    assert [(digit.digit, digit.first, digit.last) for digit in line.digits] == expected
    same = sum(weight for runs, weight in paths if [run[0] for run in runs] == [run[0] for run in expected])
    assert line.confidence == pytest.approx(same / total)
    starts = np.zeros((len(columns), NONE))
    for runs, weight in paths:
        for digit, _, last in runs:
            starts[last, digit] += weight / total
    for digit in line.digits:
        assert digit.probabilities == pytest.approx(window(starts, digit.left, digit.right, digit.digit), abs=1e-9)
    # One digit anywhere: where two may stand, their shares are what they are to each other.
    ten = starts.sum(0)
    assert line.anywhere == pytest.approx(np.append(ten, max(0, 1 - ten.sum())) / max(1, ten.sum()), abs=1e-9)


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("known", [{}, {"length": 2}, {"pattern": r"[13]+7?"}, {"pattern": r"\d?3\d*"}])
def test_a_reading_and_its_probabilities_are_those_of_all_paths_together(known, heard):
    rng = np.random.default_rng(5)
    for _ in range(4):
        columns = random_columns(rng, 5, FEW)
        voices = rng.normal(0, 1.5, (5, NONE)) if heard else None
        assert_is_the_sum_of_all_paths(columns, voices, FEW, constrained(**known) or ANY_NUMBER)


@pytest.mark.parametrize("heard", [False, True])
def test_a_check_digit_is_weighed_over_all_paths_that_pass_it(heard):
    rng = np.random.default_rng(6)
    columns = random_columns(rng, 4, list(ALL))
    voices = rng.normal(0, 1.5, (4, NONE)) if heard else None
    assert_is_the_sum_of_all_paths(columns, voices, ALL, constrained(check="luhn"))


def test_a_clear_line_reads_as_it_stands_and_each_digit_knows_its_columns():
    (line,) = decode([written("3141")])
    assert (text_of(line), line.is_allowed) == ("3141", True)
    assert [(digit.first, digit.last) for digit in line.digits] == [(2, 2), (5, 5), (8, 8), (11, 11)]
    assert [(digit.left, digit.right) for digit in line.digits] == [(0, 3.5), (3.5, 6.5), (6.5, 9.5), (9.5, 14)]
    assert [digit.confidence for digit in line.digits] == pytest.approx([0.99] * 4)
    assert line.confidence == pytest.approx(0.99**4)


def test_digits_are_two_only_with_a_gap_between_them():
    one, two = columns_of({6: 0.98}, {6: 0.98}, {6: 0.98}), columns_of({6: 0.98}, {}, {6: 0.98})
    assert [text_of(line) for line in decode([one, two])] == ["6", "66"]


def test_what_looks_like_two_digits_in_one_place_is_read_as_one_of_them():
    (line,) = decode([columns_of({}, {6: 0.7, 4: 0.2}, {6: 0.2, 4: 0.75}, {})])
    assert text_of(line) == "4"
    assert line.digits[0].probabilities[6] > 0.2


def test_a_digit_that_is_hardly_likelier_than_none_is_kept_and_doubted():
    (line,) = decode([columns_of({3: 0.99}, {}, {7: 0.55}, {})])
    assert text_of(line) == "37"
    assert line.digits[1].confidence == pytest.approx(0.55)
    assert line.digits[1].probabilities[NONE] == pytest.approx(0.45)
    assert line.confidence == pytest.approx(0.99 * 0.55)


def test_a_digit_that_may_have_been_missed_is_a_doubt_of_the_line():
    sure, lacking = decode([columns_of({3: 0.99}, {}, {}, {}), columns_of({3: 0.99}, {}, {7: 0.25}, {})])
    assert text_of(sure) == text_of(lacking) == "3"
    assert sure.confidence == pytest.approx(0.99)
    assert lacking.confidence == pytest.approx(0.99 * 0.75)


def test_two_digits_that_may_stand_in_place_of_one_are_a_doubt_of_it():
    (line,) = decode([columns_of({1: 0.99}, {}, {7: 0.3})])
    assert text_of(line) == "1"
    assert line.digits[0].confidence == pytest.approx(0.99 - 0.29)
    assert line.digits[0].probabilities[7] == pytest.approx(0.3)


def test_what_may_stand_anywhere_in_a_line_is_told_even_where_nothing_is_read():
    (line,) = decode([columns_of({}, {7: 0.2}, {}, {})])
    assert line.digits == ()
    assert (line.anywhere[7], line.anywhere[NONE]) == pytest.approx((0.2, 0.8))


@pytest.mark.parametrize("known", [{}, {"length": 3}, {"check": "luhn"}])
def test_many_empty_columns_are_weighed_as_one_and_change_nothing(known, monkeypatch):
    rng = np.random.default_rng(7)
    columns = [written("4", 0.9, gap=40)]
    columns += [written("26", 0.8, gap=25) + np.log(1 - 1e-5), written("59", 0.6, gap=30)]
    line = np.concatenate(columns)
    line[:, :NONE] = np.logaddexp(line[:, :NONE], np.log(1e-7))
    voices = rng.normal(0, 0.3, (len(line), NONE))
    (short,) = decode([line], [voices], constrained(**known))
    monkeypatch.setattr(decoding, "SURELY_NONE", 0.0)
    (whole,) = decode([line], [voices], constrained(**known))
    assert [(one.digit, one.first, one.last) for one in short.digits] == [
        (one.digit, one.first, one.last) for one in whole.digits
    ]
    assert short.confidence == pytest.approx(whole.confidence, abs=2e-3)
    for one, other in zip(short.digits, whole.digits, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=2e-3)


def test_a_long_line_neither_overflows_nor_fades_away():
    text = "0123456789" * 40
    (line,) = decode([written(text, 0.999)])
    assert text_of(line) == text
    assert all(0.99 < digit.confidence <= 1 for digit in line.digits)
    assert line.confidence == pytest.approx(0.999**400, rel=1e-3)
    (bound,) = decode([written(text, 0.999)], None, constrained(length=400))
    assert text_of(bound) == text


def test_very_unlikely_columns_do_no_harm():
    least = np.full((60, NONE + 1), np.log(decoding.LEAST))
    (line,) = decode([least], None, constrained(length=20))
    assert len(line.digits) == 20
    assert 0 <= line.confidence <= 1
    assert all(np.isfinite(digit.probabilities).all() for digit in line.digits)


def test_a_check_digit_picks_among_the_alternatives_and_makes_sure():
    """79927398713 satisfies Luhn; its 3 in the middle is seen as a 5 first."""
    columns = written("79927398713")
    columns[2 + 3 * 5] = columns_of({5: 0.6, 3: 0.39})[0]
    free, checked = decode([columns])[0], decode([columns], None, constrained(check="luhn"))[0]
    assert text_of(free) == "79927598713"
    assert free.digits[5].confidence < 0.65
    assert text_of(checked) == "79927398713"
    assert checked.digits[5].confidence > 0.9


def test_a_check_that_fails_although_every_digit_looked_sure_makes_them_doubtful():
    columns = written("79927398719")
    columns[:, :NONE] = np.logaddexp(columns[:, :NONE], math.log(1e-4))
    before, after = decode([columns])[0], decode([columns], None, constrained(check="luhn"))[0]
    assert text_of(before) == "79927398719"
    assert satisfies(constrained(check="luhn"), [digit.digit for digit in after.digits])
    assert min(digit.confidence for digit in after.digits) < 0.9 < min(digit.confidence for digit in before.digits)


def test_a_length_lets_a_weak_digit_in_and_a_strong_one_out():
    weak = columns_of({1: 0.99}, {}, {2: 0.99}, {}, {3: 0.1}, {})
    assert text_of(decode([weak])[0]) == "12"
    assert text_of(decode([weak], None, constrained(length=3))[0]) == "123"
    assert text_of(decode([written("1234")], None, constrained(length=3))[0]) in ("123", "124", "134", "234")


def test_where_nothing_is_allowed_it_says_so():
    allowed, short = decode([written("1234"), columns_of({1: 0.99}, {})], None, constrained(length=3))
    assert allowed.is_allowed
    assert (short.is_allowed, short.digits, short.confidence) == (False, (), 0.0)
    assert short.anywhere[NONE] == 1


def test_a_voice_decides_which_digit_stands_there_and_whether_there_is_one():
    columns = columns_of({3: 0.99}, {}, {1: 0.5, 7: 0.45}, {})
    voice = np.zeros((4, NONE))
    voice[2, 7] = 2.0
    plain, heard = decode([columns])[0], decode([columns], [voice])[0]
    assert (text_of(plain), text_of(heard)) == ("31", "37")
    share = 0.45 * math.exp(2)
    assert heard.digits[1].confidence == pytest.approx(share / (share + 0.5 + 0.05))
    voice[2] = -5
    assert text_of(decode([columns], [voice])[0]) == "3"


@pytest.mark.parametrize("work", [decoding.WORK, 1])
@pytest.mark.parametrize("known", [{}, {"length": 2}])
def test_lines_that_are_read_together_are_read_as_each_alone(known, work, monkeypatch):
    rng = np.random.default_rng(8)
    lines = [random_columns(rng, count, list(ALL)) for count in (9, 3, 17, 1, 9)]
    voices = [rng.normal(0, 1, (len(line), NONE)) for line in lines]
    alone = [decode([line], [voice], constrained(**known))[0] for line, voice in zip(lines, voices, strict=True)]
    monkeypatch.setattr(decoding, "WORK", work)
    for one, other in zip(decode(lines, voices, constrained(**known)), alone, strict=True):
        assert (text_of(one), one.is_allowed) == (text_of(other), other.is_allowed)
        assert one.confidence == pytest.approx(other.confidence)
        assert one.anywhere == pytest.approx(other.anywhere)
        for digit, expected in zip(one.digits, other.digits, strict=True):
            assert (digit.first, digit.last, digit.left) == (expected.first, expected.last, expected.left)
            assert digit.probabilities == pytest.approx(expected.probabilities)


def test_no_lines_are_no_readings():
    assert decode([]) == []


def test_signs_and_words_count_as_no_digit():
    logits = np.zeros((2, CLASSES), np.float32)
    logits[0, 3], logits[1, BLANK] = 6.0, 6.0
    eleven = np.exp(of_digits(logits))
    rest = math.exp(6) + CLASSES - 1
    assert eleven.sum(1) == pytest.approx(1)
    assert eleven[0, [3, 4, NONE]] == pytest.approx([math.exp(6) / rest, 1 / rest, (CLASSES - 10) / rest])
    assert eleven[1, NONE] == pytest.approx(1 - 10 / rest)


def test_columns_of_another_alphabet_are_refused():
    with pytest.raises(ValueError, match="12 classes instead of 22"):
        of_digits(np.zeros((3, 12), np.float32))
