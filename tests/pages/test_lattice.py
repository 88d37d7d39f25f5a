import itertools

import numpy as np
import pytest
from helpers import satisfies

from digitnet.pages import lattice
from digitnet.pages.boxes import edges
from digitnet.pages.constraints import ANY_NUMBER, constrained
from digitnet.pages.detect import Detection, same_ink
from digitnet.pages.lattice import Candidate


def candidate(x, y=0.0, *, digit=0, sure=0.99, exists=0.99, width=20.0, height=30.0, second=None):
    """A candidate whose left top corner is at (x, y)."""
    probabilities = np.full(10, (1 - sure) / 9)
    probabilities[digit] = sure
    if second is not None:
        probabilities[:] = 1e-9
        probabilities[digit], probabilities[second] = sure, 1 - sure
    detection = Detection(x, y, x + width, y + height, probabilities.astype(np.float32))
    return Candidate(detection, exists, probabilities / probabilities.sum())


def number(reading):
    return "".join(str(digit.digit) for digit in reading.digits)


def written(text, x=0.0, y=0.0, slope=0.0, step=25.0):
    return [candidate(x + step * i, y + slope * step * i, digit=int(c)) for i, c in enumerate(text)]


def test_a_clear_line_reads_as_it_stands():
    reading = lattice.read(written("31415"))
    assert number(reading) == "31415"
    assert reading.allowed
    assert all(digit.confidence > 0.97 for digit in reading.digits)


def test_repeated_digits_keep_their_count():
    assert number(lattice.read(written("6666"))) == "6666"


def test_of_two_candidates_on_the_same_ink_the_likelier_is_read_and_doubted():
    zero, eight = candidate(0, digit=0, exists=0.9), candidate(1, digit=8, exists=0.7)
    (digit,) = lattice.read([zero, eight]).digits
    assert digit.digit == 0
    # Weights: 0 alone 0.9 * 0.3, 8 alone 0.1 * 0.7, neither 0.1 * 0.3.
    assert digit.confidence == pytest.approx(0.99 * 0.27 / (0.27 + 0.07 + 0.03), abs=1e-3)


def test_two_narrow_candidates_together_may_be_likelier_than_the_wide_one_that_covers_both():
    wide = candidate(0, digit=0, exists=0.6, width=40)
    narrow = [candidate(0, digit=1, exists=0.8, width=18), candidate(22, digit=1, exists=0.8, width=18)]
    assert number(lattice.read(sorted([wide, *narrow], key=lambda one: one.detection.left))) == "11"


def test_a_digit_that_is_less_likely_than_not_is_kept_in_doubt_and_one_that_is_unlikely_is_left_out():
    reading = lattice.read([candidate(0, digit=4, exists=0.4), *written("31", x=25.0)])
    assert number(reading) == "431"
    assert reading.digits[0].confidence == pytest.approx(0.4 * 0.99, abs=1e-3)
    assert reading.confidence == pytest.approx(0.4 * 0.99 * (0.99 * 0.99) ** 2, abs=1e-3)
    assert number(lattice.read([candidate(0, digit=4, exists=0.3), *written("31", x=25.0)])) == "31"


@pytest.mark.parametrize("pattern", [r"[0-6]+[1-9]", r"\d{1,2}[0-4]\d*", r"\d*[0-4]\d?\d?"])
def test_weights_agree_with_a_count_of_all_readings(pattern):
    rng = np.random.default_rng(5)
    candidates = [
        candidate(x, digit=int(rng.integers(10)), sure=rng.uniform(0.3, 0.9), exists=rng.uniform(0.2, 0.95))
        for x in (0, 8, 24, 45, 51)
    ]
    known = constrained(pattern=pattern)
    total, marginal = 0.0, np.zeros((5, 10))
    for there in itertools.product((False, True), repeat=5):
        chosen = [i for i in range(5) if there[i]]
        boxes = edges([candidates[index].detection for index in chosen])
        if np.triu(same_ink(boxes[:, np.newaxis], boxes), 1).any():
            continue
        present = np.prod(
            [one.exists if is_there else 1 - one.exists for one, is_there in zip(candidates, there, strict=True)]
        )
        for digits in itertools.product(range(10), repeat=len(chosen)):
            if satisfies(known, digits):
                weight = present * np.prod(
                    [candidates[i].probabilities[d] for i, d in zip(chosen, digits, strict=True)]
                )
                total += weight
                for i, d in zip(chosen, digits, strict=True):
                    marginal[i, d] += weight
    for digit in lattice.read(candidates, known).digits:
        place = candidates.index(digit.candidate)
        assert digit.confidence == pytest.approx(marginal[place, digit.digit] / total, rel=2e-3)
        assert digit.probabilities == pytest.approx(marginal[place] / marginal[place].sum(), rel=5e-3, abs=1e-6)


def test_a_check_digit_picks_among_the_alternatives_and_makes_sure():
    """79927398713 satisfies Luhn; its 3 is seen as a 5 first."""
    candidates = written("79927398713")
    candidates[5] = candidate(25.0 * 5, digit=5, second=3, sure=0.6)
    free, checked = lattice.read(candidates), lattice.read(candidates, constrained(check="luhn"))
    assert number(free)[5] == "5"
    assert free.digits[5].confidence < 0.65
    assert number(checked) == "79927398713"
    assert checked.digits[5].confidence > 0.9


def test_a_check_that_fails_although_every_digit_looked_sure_makes_them_doubtful():
    candidates = written("79927398719")
    before, after = lattice.read(candidates), lattice.read(candidates, constrained(check="luhn"))
    assert number(before) == "79927398719"
    assert satisfies(constrained(check="luhn"), [digit.digit for digit in after.digits])
    assert min(digit.confidence for digit in after.digits) < 0.9 < min(digit.confidence for digit in before.digits)


def test_a_length_lets_a_weak_candidate_in_and_a_strong_one_out():
    weak = [*written("12"), candidate(50, digit=3, exists=0.1)]
    assert number(lattice.read(weak)) == "12"
    assert number(lattice.read(weak, constrained(length=3))) == "123"
    assert number(lattice.read(written("1234"), constrained(length=3))) in ("123", "124", "134", "234")


def test_where_no_reading_is_allowed_the_free_one_is_given_and_says_so():
    reading = lattice.read(written("12"), constrained(length=5))
    assert not reading.allowed
    assert number(reading) == "12"


def test_nothing_reads_as_nothing():
    assert lattice.read([]).digits == ()
    assert lattice.grouped([]) == []


def test_a_long_line_neither_overflows_nor_fades_away():
    text = "0123456789" * 30
    reading = lattice.read(written(text), ANY_NUMBER)
    assert number(reading) == text
    assert all(0.9 < digit.confidence <= 1 for digit in reading.digits)


def texts(lines):
    return ["".join(str(int(one.probabilities.argmax())) for one in members) for members in lines]


def test_lines_come_from_top_to_bottom_and_digits_from_left_to_right():
    candidates = [*written("456", y=60), *written("123"), *written("7", y=120)]
    assert texts(lattice.grouped(candidates[::-1])) == ["123", "456", "7"]


@pytest.mark.parametrize("slope", [-0.35, -0.1, 0.1, 0.35])
def test_slanted_lines_stay_apart(slope):
    candidates = [*written("12345", slope=slope, y=200), *written("67890", slope=slope, y=250)]
    assert texts(lattice.grouped(candidates)) == ["12345", "67890"]


def test_numbers_far_apart_at_one_height_are_one_line():
    assert texts(lattice.grouped([*written("12"), *written("34", x=400)])) == ["1234"]


def test_digits_of_unlike_size_are_not_of_one_number():
    large = candidate(60, -60, digit=9, width=100, height=150)
    assert sorted(texts(lattice.grouped([*written("12"), large]))) == ["12", "9"]


def test_a_long_line_with_a_choice_far_from_its_end_is_read():
    """Read from the right, this pattern has 2^12 states."""
    text = "123456789012" * 2
    reading = lattice.read(written(text), constrained(pattern=r"\d{11}[0-4]\d*"))
    assert number(reading) == text
    assert reading.allowed
    free = lattice.read(written(text))
    assert [digit.confidence for digit in reading.digits] == pytest.approx(
        [digit.confidence for digit in free.digits], abs=0.01
    )


def test_a_very_long_line_of_sure_digits_on_the_same_ink_does_no_harm():
    candidates = [candidate(25.0 * i + shift, exists=1.0) for i in range(200) for shift in (0, 1)]
    assert all(0 <= digit.confidence <= 1 for digit in lattice.read(candidates).digits)


def test_score_asks_more_of_a_digit_that_may_be_none_than_of_one_that_may_be_another():
    which, whether = lattice.read([candidate(0, sure=0.95, exists=0.9999)]), lattice.read([candidate(0, exists=0.95)])
    (unsure_which,), (unsure_whether,) = which.digits, whether.digits
    assert unsure_which.confidence == pytest.approx(unsure_whether.confidence, abs=0.02)
    assert unsure_which.score == pytest.approx(0.95, abs=0.01)
    assert unsure_whether.score < 0.6
    assert unsure_whether.exists == pytest.approx(0.95)


def test_score_is_lower_for_what_stands_alone_than_among_digits():
    (lone,) = lattice.read([candidate(0, exists=0.95)]).digits
    first, _ = lattice.read([candidate(0, exists=0.95), candidate(30)]).digits
    assert lone.score < 0.5 < 0.8 < first.score


def test_only_a_sure_digit_is_company():
    unsure = [candidate(x, digit=7, exists=0.9) for x in (0, 25)]
    assert not any(digit.in_company for digit in lattice.read(unsure).digits)
    assert [digit.in_company for digit in lattice.read([unsure[0], *written("31", x=25.0)]).digits] == [True] * 3
