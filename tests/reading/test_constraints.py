import itertools
import re

import numpy as np
import pytest
from helpers import satisfies

from digitnet.errors import UsageError
from digitnet.reading.constraints import ANY_NUMBER, CHECKS, LONGEST, MAX_STATES, constrained


def digits(text):
    return [int(character) for character in text if character.isdigit()]


def allows(number, **known):
    return satisfies(constrained(**known), digits(number))


@pytest.mark.parametrize(
    ("check", "number"),
    [
        ("luhn", "4539 1488 0343 6467"),
        ("luhn", "79927398713"),
        ("ean", "4006381333931"),
        ("ean", "96385074"),
        ("ean", "036000291452"),
        ("isbn", "978-3-16-148410-0"),
        ("isbn", "0-306-40615-2"),
        ("mod97", "3214282912345698765432161182"),
    ],
)
def test_a_check_allows_a_right_number_and_not_one_with_any_digit_changed(check, number):
    assert allows(number, check=check)
    right = digits(number)
    for place in range(len(right)):
        for other in set(range(10)) - {right[place]}:
            assert not satisfies(constrained(check=check), [*right[:place], other, *right[place + 1 :]])


@pytest.mark.parametrize(("check", "number"), [("ean", "4006"), ("isbn", "9783161484"), ("luhn", "0"), ("luhn", "")])
def test_a_check_asks_for_the_length_that_such_numbers_have(check, number):
    assert not allows(number, check=check)


@pytest.mark.parametrize(("number", "allowed"), [("1234", True), ("123", False), ("12345", False), ("", False)])
def test_a_length_is_exact(number, allowed):
    assert allows(number, length=4) is allowed


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"\d{3}-\d{4}", ["5550123"], ["555012", "55501234", ""]),
        (r"19\d\d", ["1987"], ["2087", "198"]),
        (r"[0-3]\d/[01]\d/20\d\d", ["24122026"], ["44122026", "24222026", "24121926"]),
        (r"[^5]+", ["1", "12346789"], ["", "151"]),
        (r"1?2*3+", ["3", "13", "1222333", "23"], ["12", "", "1133", "321"]),
        (r"\d{2,4}", ["12", "1234"], ["1", "12345"]),
        (r"\d{2,}", ["12", "1" * 30], ["1"]),
        (r"\(0\d\) \.5", ["015"], ["0155", "15"]),
    ],
)
def test_a_pattern_allows_what_it_says(pattern, right, wrong):
    assert [number for number in right if not allows(number, pattern=pattern)] == []
    assert [number for number in wrong if allows(number, pattern=pattern)] == []


def test_several_constraints_must_all_be_met():
    assert allows("4006381333931", length=13, check="ean", pattern=r"40\d+")
    assert not allows("4006381333931", length=13, check="ean", pattern=r"41\d+")
    assert not allows("4006381333931", length=8, check="ean")


def test_nothing_known_allows_any_number():
    assert constrained() is None
    assert satisfies(ANY_NUMBER, [])
    assert satisfies(ANY_NUMBER, [0, 0, 7])


@pytest.mark.parametrize(
    "pattern", ["abc", r"\w", "[a-c]", "[]", "1{3,2}", "1{", "*", r"\d+|5", "(12)+", "", " - ", "[^0-9]", "[5-2]"]
)
def test_a_pattern_that_makes_no_sense_is_refused_and_quoted(pattern):
    with pytest.raises(UsageError, match="pattern"):
        constrained(pattern=pattern)


@pytest.mark.parametrize("known", [{"length": 0}, {"length": -3}, {"check": "crc"}])
def test_other_nonsense_is_refused_too(known):
    with pytest.raises(UsageError):
        constrained(**known)


def test_each_check_says_in_its_name_what_it_is():
    assert all(constrained(check=name).name == f"check {name}" for name in CHECKS)
    assert constrained(8, r"\d+", "luhn").name == r"length 8, pattern \d+, check luhn"


@pytest.mark.parametrize("count", [5, 10, 11, 20, 40])
def test_a_choice_far_from_either_end_needs_few_states(count):
    """Read from the wrong end, these patterns need 2^count states."""
    for pattern in (rf"\d{{{count}}}[0-4]\d*", rf"\d*[0-4]\d{{{count}}}"):
        assert len(constrained(pattern=pattern).starts) <= count + 2
        assert len(constrained(length=24, pattern=pattern, check="luhn").starts) <= MAX_STATES
    ones = "1" * count
    assert allows(f"{ones}49", pattern=rf"\d{{{count}}}[0-4]\d*")
    assert not allows(f"{ones}94", pattern=rf"\d{{{count}}}[0-4]\d*")
    assert allows(f"94{ones}", pattern=rf"\d*[0-4]\d{{{count}}}")


@pytest.mark.parametrize("pattern", [r"\d*[0-4]\d{20}[0-4]\d*", r"\d*[0-4]\d{12}[5-9]\d{9}\d*", r"\d{1280}" * 5])
def test_a_pattern_that_needs_too_many_states_is_refused_with_what_to_do(pattern):
    with pytest.raises(UsageError, match=re.escape(repr(pattern)[:20])) as error:
        constrained(pattern=pattern)
    assert "instead of *, + or {m,n}" in str(error.value)


@pytest.mark.parametrize("pattern", [r"(\d+", r"\d+)", r")\d(", r"((\d)", r"(\d\)"])
def test_a_bracket_without_its_partner_is_refused(pattern):
    with pytest.raises(UsageError, match=f"{re.escape(repr(pattern))} has a bracket without its partner"):
        constrained(pattern=pattern)


@pytest.mark.parametrize("pattern", [r"(\d{3}) \d", r"((\d\d)-\d)\d", r"\(\d{4}", r"\d{4}\)"])
def test_brackets_in_pairs_and_those_after_a_backslash_are_signs(pattern):
    assert allows("1234", pattern=pattern)


def test_the_automaton_of_a_constraint_is_made_once_for_all_pages():
    assert constrained(12, r"\d+", "mod97") is constrained(12, r"\d+", "mod97")


def test_constraints_that_need_too_many_states_together_are_refused_by_name():
    with pytest.raises(UsageError, match="length 1000, check mod97: too much"):
        constrained(length=1000, check="mod97")


def test_numbers_longer_than_any_line_are_understood():
    for known in ({"length": 10**9}, {"pattern": r"\d{999999999}"}):
        assert len(constrained(**known).starts) == LONGEST + 1
    assert not allows("1" * 30, length=10**9)


@pytest.mark.parametrize(
    "known",
    [
        {"pattern": r"\d*1\d*"},
        {"pattern": r"[0-3]?\d[01]?\d?"},
        {"pattern": r"\d{1,3}[^5]*\d?5?"},
        {"pattern": r"\d{1}[0-4]\d*", "check": "luhn"},
        {"pattern": r"1?1?1*", "length": 3},
        {"check": "mod97"},
        {"check": "isbn"},
    ],
)
def test_each_allowed_number_has_one_path_so_that_sums_count_it_once(known):
    """Ambiguous patterns too: else the sums over paths would be no probabilities."""
    constraint = constrained(**known)
    for length in range(5):
        for number in itertools.product((0, 1, 5, 9), repeat=length):
            paths = constraint.starts.astype(int)
            for digit in number[::-1]:
                arrows = constraint.arrows[constraint.arrows[:, 1] == digit]
                paths = np.bincount(arrows[:, 2], paths[arrows[:, 0]], len(paths))
            assert paths[constraint.accepting].sum() == satisfies(constraint, number)


def test_patterns_agree_with_regular_expressions():
    rng = np.random.default_rng(7)
    pieces = [r"\d", "[0-4]", "[^1]", "1", "[19]"]
    times = ["", "", "?", "*", "+", "{2}", "{0,2}", "{1,}"]
    for _ in range(60):
        pattern = "".join(rng.choice(pieces) + rng.choice(times) for _ in range(rng.integers(1, 5)))
        constraint = constrained(pattern=pattern)
        for length in range(5):
            for number in itertools.product((1, 9), repeat=length):
                expected = re.fullmatch(pattern, "".join(map(str, number))) is not None
                assert satisfies(constraint, number) == expected, (pattern, number)
