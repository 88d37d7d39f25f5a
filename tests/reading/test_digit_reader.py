"""One digit a picture: which candidate is the answer, with made-up evidence, and the package's networks as a whole."""

import dataclasses

import cv2
import numpy as np
import pytest
from helpers import ROOT
from made_up import finder
from scenes import SCENES, render

from digitnet import Reader
from digitnet.reading.answer import NOT_A_DIGIT, Rejection
from digitnet.reading.digit_reader import Candidate, DigitReader, Sight, is_sure
from digitnet.reading.load import load
from digitnet.reading.normalise import NormalisedDigit
from digitnet.results import Box
from digitnet.synthesis.strokes import digits_of

LARGE = (300, 400)  # a picture in which the first look is not the only one


def normalised(box=(100, 100, 40, 60), **flags):
    return NormalisedDigit(np.zeros((28, 28), np.float32), Box(*box), 1.0, **{"several": False, **flags})


def eleven(digit, share=0.99, none=0.005):
    found = np.full(11, (1 - share - none) / 9)
    found[digit], found[NOT_A_DIGIT] = share, none
    return found


def candidate(digit, height=60.0, *, share=0.99, none=0.005, crops=1):
    return Candidate(eleven(digit, share, none), height, tuple(normalised((0, 0, 10 + n, 10)) for n in range(crops)))


def chosen(candidates, seen, first=None, *, threshold=0.5, **options):
    """What a picture shows, from its candidates and what DigitNet sees in them."""
    of_lines = finder(threshold=threshold, **options)
    reader = DigitReader(None, Rejection(threshold), lambda: of_lines)
    probabilities = np.array(seen, np.float32).reshape(-1, 11)
    return reader.chosen(Sight(LARGE, first, tuple(candidates)), probabilities)


def test_what_both_networks_say_is_the_answer():
    choice = chosen([candidate(7)], [eleven(7)])
    assert (int(choice.probabilities.argmax()), choice.reason) == (7, None)
    assert choice.digit.box == Box(0, 0, 10, 10)


def test_a_blank_picture_has_no_digit():
    choice = chosen([], [])
    assert (choice.digit, choice.reason) == (None, "blank")
    assert choice.probabilities[NOT_A_DIGIT] == 1


def test_ink_that_no_line_takes_for_a_digit_is_none():
    choice = chosen([], [eleven(7, 0.9, 0.05)], first=normalised(whole=False))
    assert choice.reason == "not a digit"
    assert choice.probabilities.argmax() == 7


def test_the_tallest_of_the_likely_digits_is_the_pictures_and_smaller_ones_are_print_around_it():
    choice = chosen([candidate(3, 20), candidate(7, 60), candidate(5, 30)], [eleven(3), eleven(7), eleven(5)])
    assert (int(choice.probabilities.argmax()), choice.reason) == (7, None)


def test_what_is_taller_and_likely_no_digit_does_not_count():
    choice = chosen([candidate(0, 200, share=0.1, none=0.85), candidate(7, 60)], [eleven(0), eleven(7)])
    assert (int(choice.probabilities.argmax()), choice.reason) == (7, None)


def test_two_digits_that_are_alike_in_height_are_more_than_one():
    choice = chosen([candidate(3, 55), candidate(7, 60)], [eleven(3), eleven(7)])
    assert choice.reason == "more than one digit"
    assert choice.digit.several


def test_where_the_networks_disagree_nothing_is_answered():
    choice = chosen([candidate(4)], [eleven(9)])
    assert choice.reason in ("unsure: 4 or 9", "unsure: 9 or 4", "not a digit")
    assert chosen([candidate(4)], [eleven(4, 0.3, 0.65)]).reason is not None


def test_a_users_own_model_has_the_last_word_which_digit_it_is():
    choice = chosen([candidate(4)], [eleven(9)], names_alone=True)
    assert (int(choice.probabilities.argmax()), choice.reason) == (9, None)
    assert chosen([candidate(4)], [eleven(9, 0.3, 0.65)], names_alone=True).reason is not None


def test_an_unsure_answer_is_none_and_without_a_threshold_everything_is_answered():
    unsure = [candidate(4, share=0.5, none=0.01)], [eleven(4)]
    assert chosen(*unsure, threshold=0.8).reason is not None
    assert chosen(*unsure, threshold=0.0).reason is None
    assert chosen([candidate(4)], [eleven(9)], threshold=0.0).reason is None
    assert chosen([candidate(3, 55), candidate(7)], [eleven(3), eleven(7)], threshold=0.0).reason is None


def test_of_two_crops_the_one_counts_that_shows_what_the_line_reader_sees():
    choice = chosen([candidate(8, crops=2), candidate(1, 20)], [eleven(0), eleven(8), eleven(1)])
    assert (int(choice.probabilities.argmax()), choice.reason) == (8, None)
    assert choice.digit.box == Box(0, 0, 11, 10)


def test_where_the_first_look_is_sure_nothing_else_is_asked():
    choice = chosen([], [eleven(7, 0.9999, 1e-6)], first=normalised())
    assert (int(choice.probabilities.argmax()), choice.reason) == (7, None)


@pytest.mark.parametrize(
    ("first", "shape", "odds", "sure"),
    [
        (normalised(), LARGE, 1000, True),
        (normalised(), LARGE, 100, False),
        (normalised(several=True), LARGE, 1000, False),
        (normalised(whole=False), LARGE, 1000, False),
        (normalised((0, 100, 40, 60)), LARGE, 1000, False),
        (normalised((360, 100, 40, 60)), LARGE, 1000, False),
        (normalised((0, 0, 28, 28)), (28, 28), 100, True),
        (normalised((0, 0, 28, 28)), (28, 28), 5, False),
        (normalised((5, 5, 20, 30), alone=True), (40, 50), 100, True),
        (normalised((5, 5, 20, 30)), (40, 50), 100, False),
    ],
)
def test_the_first_look_is_sure_of_a_likely_digit_that_stands_free(first, shape, odds, sure):
    assert is_sure(first, odds, shape) == sure


# The package's networks.


@pytest.fixture(scope="module")
def digits():
    """Twenty digits by other hands, large, with their labels."""
    return [(digit.ink, digit.variant.label) for digit in digits_of(31, 20)]


def sheet(ink, side=200, height=110, paper=0.9, pen=0.1):
    """The ink in the middle of a square sheet."""
    width = max(2, round(height * ink.shape[1] / ink.shape[0]))
    large = cv2.resize(ink, (min(width, side - 10), height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    picture = np.full((side, side), paper, np.float32)
    top, left = (side - height) // 2, (side - large.shape[1]) // 2
    picture[top : top + height, left : left + large.shape[1]] += (pen - paper) * large
    return picture


def framed(ink):
    picture = sheet(ink)
    picture[:4], picture[-4:], picture[:, :4], picture[:, -4:] = 0, 0, 0, 0
    return picture


def cut_out(ink):
    picture = sheet(ink)
    rows, columns = np.where(picture < 0.5)
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def on_a_desk(ink):
    desk = np.full((340, 340), 0.2, np.float32) + np.random.default_rng(0).normal(0, 0.02, (340, 340))
    desk[70:270, 60:260] = sheet(ink)
    return desk.clip(0, 1).astype(np.float32)


def pad_on_a_page(ink):
    page = np.ones((320, 320), np.float32)
    page[60:260, 60:260] = sheet(ink, paper=0.0, pen=1.0)
    return page


@pytest.mark.parametrize("situation", [framed, cut_out, on_a_desk, pad_on_a_page])
def test_digits_are_found_whatever_is_around_them(situation, digits, reader):
    found = [(reader.predict(situation(ink)), label) for ink, label in digits]
    assert sum(digit.best_guess == label for digit, label in found) >= 17
    assert sum(digit.digit is not None for digit, _ in found) >= 6
    assert all(digit.digit in (None, label) for digit, label in found)


def among_neighbours(inks, height=36):
    """The middle one of three digits that stand close together, with half of each neighbour."""
    widths = [max(3, round(height * ink.shape[1] / ink.shape[0])) for ink in inks]
    row = np.zeros((height + 12, sum(widths)), np.float32)
    left = 0
    for ink, width in zip(inks, widths, strict=True):
        place = row[6:-6, left : left + width]
        np.maximum(place, cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA), out=place)
        left += width - 3
    return 1 - row[:, widths[0] // 2 : widths[0] + widths[1] + widths[2] // 2 - 6]


def test_the_digit_in_the_middle_is_read_and_not_its_neighbours(reader):
    digits = [digit for digit in digits_of(32, 120) if digit.ink.shape[1] < digit.ink.shape[0]]
    threes = list(zip(digits[::3], digits[1::3], digits[2::3], strict=False))
    right = 0
    for three in threes:
        picture = among_neighbours([digit.ink for digit in three])
        right += reader.predict(picture).best_guess == three[1].variant.label
    assert len(threes) > 30
    assert right > 0.8 * len(threes)


def test_the_box_is_where_the_digit_is(digits, reader):
    box = reader.predict(on_a_desk(digits[3][0])).box
    assert 60 <= box.x < box.x + box.width <= 260
    assert 105 <= box.y < box.y + box.height <= 235


def test_a_frame_makes_no_1_of_the_paper_between_its_sides(reader):
    of_zeros = [digit.ink for digit in digits_of(31, 200) if digit.variant.label == 0]
    for ink in of_zeros:
        picture = sheet(ink, side=280, height=168, paper=1.0, pen=0.0)
        picture[:4], picture[-4:], picture[:, :4], picture[:, -4:] = 0, 0, 0, 0
        assert reader.predict(picture).best_guess == 0


def test_a_frame_that_is_printed_around_the_digit_is_left_out(reader):
    paper = np.ones((300, 400), np.float32)
    cv2.polylines(paper, [np.array([(150, 90), (225, 90), (180, 210)])], False, 0.0, 9)
    in_a_frame = paper.copy()
    cv2.rectangle(in_a_frame, (40, 30), (360, 270), 0.0, 4)
    alone, inside = reader.predict(paper), reader.predict(in_a_frame)
    assert alone.best_guess == inside.best_guess == 7
    for side in ("x", "y", "width", "height"):
        assert getattr(inside.box, side) == pytest.approx(getattr(alone.box, side), abs=8)


def test_a_small_digit_in_a_large_photo_is_looked_at_closely(reader):
    scene = dataclasses.replace(SCENES["photo"], digit_height=0.06)
    digit = np.zeros((28, 28), np.float32)
    cv2.polylines(digit, [np.array([(8, 4), (19, 4), (13, 23)])], False, 1.0, 2)
    picture = render(digit, scene, np.random.default_rng(2))
    found = reader.predict(picture)
    assert found.best_guess == 7
    assert max(found.box.width, found.box.height) == pytest.approx(0.06 * 1200, rel=0.35)


def test_a_clean_digit_does_not_need_the_line_reader(mnist_digits, digits):
    reader = Reader(detector=ROOT / "digitnet" / "weights" / "detector.onnx")
    reader.digit_reader.finder = lambda: pytest.fail("lines were looked for")
    assert reader.predict(mnist_digits[0][3]).digit == mnist_digits[1][3]
    assert reader.predict(sheet(digits[3][0])).digit == digits[3][1]
    noisy = mnist_digits[0][3].copy()
    noisy[np.random.default_rng(0).random((28, 28)) < 0.05] = 1
    assert reader.predict(noisy).best_guess == mnist_digits[1][3]


def test_a_sight_gives_the_answer_that_the_picture_gives(reader, digits):
    for picture in (sheet(digits[3][0]), framed(digits[5][0]), on_a_desk(digits[8][0])):
        sight = reader.sight(picture)
        images = np.array([digit.image for digit in sight.digits], np.float32)
        choice = reader.digit_reader.chosen(sight, reader.digit_reader.network.probabilities(images))
        digit = reader.predict(picture)
        assert int(choice.probabilities[:NOT_A_DIGIT].argmax()) == digit.best_guess
        assert choice.reason == digit.reason
        assert choice.probabilities[:NOT_A_DIGIT].max() == pytest.approx(digit.confidence, abs=1e-4)


def test_two_digits_on_a_sheet_on_a_desk_are_more_than_one(digits, reader):
    picture = on_a_desk(digits[3][0])
    picture[70:270, 60:160] = sheet(digits[3][0], height=80)[:, 50:150]
    picture[70:270, 160:260] = sheet(digits[8][0], height=80)[:, 50:150]
    digit = reader.predict(picture)
    assert (digit.digit, digit.reason) == (None, "more than one digit")


@pytest.mark.parametrize("size", [(6, 28), (3, 28), (28, 6), (200, 3)])
def test_thin_crops_are_read_not_refused(size, reader):
    width, height = size
    picture = np.ones((height, width))
    if height > width:
        picture[1:-1, width // 3 : max(width // 3 + 1, 2 * width // 3)] = 0
        assert reader.predict(picture).best_guess == 1
    else:
        picture[height // 3, 1:-1] = 0
        assert reader.predict(picture).digit is None


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_paper_without_ink_is_blank_however_grainy(noise, reader):
    paper = np.random.default_rng(1).normal(0.8, noise, (240, 300)).clip(0, 1)
    digit = reader.predict(paper)
    assert (digit.digit, digit.reason, digit.best_guess) == (None, "blank", None)


def test_ink_that_is_nowhere_a_digit_is_not_called_blank(reader):
    page = np.ones((300, 300), np.float32)
    page[:, :90] = 0.1  # the edge of a desk
    for y in range(80, 240, 20):
        cv2.line(page, (140, y), (260, y), 0.0, 4)
    digit = reader.predict(page)
    assert digit.digit is None
    assert digit.reason not in ("blank", None)


def test_a_small_picture_is_answered_alike_alone_and_among_others(reader, digits):
    pictures = [cv2.resize(sheet(ink), (50, 50), interpolation=cv2.INTER_AREA) for ink, _ in digits[:6]]
    together = reader.digit_reader.examine(load(picture, str(n)) for n, picture in enumerate(pictures))
    for examination, picture in zip(together, pictures, strict=True):
        alone = reader.predict(picture)
        assert (examination.digit.digit, examination.digit.box) == (alone.digit, alone.box)
