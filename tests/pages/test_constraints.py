import pytest

from digitnet.errors import UsageError
from digitnet.pages.constraints import CHECKS, constrained, satisfies


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
    assert allows("")
    assert allows("007")


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
    assert all(one.name == f"check {name}" for name, ones in CHECKS.items() for one in ones)
