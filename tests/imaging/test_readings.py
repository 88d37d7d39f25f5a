import numpy as np
import pytest

from digitnet.imaging.normalise import normalise
from digitnet.imaging.readings import readings_near, readings_of_whole
from digitnet.results import Box


def on_paper(digit, side=84, paper=1.0, ink=0.0):
    """A digit (28, 28) in [0, 1] in the middle of a square sheet."""
    picture = np.full((side, side), paper, np.float32)
    start = (side - 28) // 2
    picture[start : start + 28, start : start + 28] += (ink - paper) * digit
    return picture


@pytest.fixture
def digit(mnist_digits):
    return mnist_digits[0][3]


def kinds(readings):
    return {reading.kind: reading.digit for reading in readings}


def shows(normalised, digit):
    """Whether a reading shows the same strokes as the digit alone on paper."""
    return np.abs(normalised.image - normalise(on_paper(digit)).image).mean() < 0.04


def test_a_frame_along_the_edge_is_gone_inside_the_border(digit):
    picture = on_paper(digit)
    picture[:3], picture[-3:], picture[:, :3], picture[:, -3:] = 0, 0, 0, 0
    found = kinds(readings_of_whole(picture))
    assert shows(found["inside ink"], digit)
    assert not shows(found["flat dark"], digit)
    x, y, width, height = (getattr(found["inside ink"].box, side) for side in ("x", "y", "width", "height"))
    assert 28 <= x < x + width <= 56
    assert 28 <= y < y + height <= 56


def test_a_digit_that_is_cut_out_tightly_is_whole_in_the_flat_reading_of_its_own_polarity(digit):
    sheet = on_paper(digit)
    box = normalise(sheet).box
    crop = sheet[box.y : box.y + box.height, box.x : box.x + box.width]
    assert shows(kinds(readings_of_whole(crop))["flat dark"], digit)
    assert shows(kinds(readings_of_whole(1 - crop))["flat light"], digit)


def test_the_opposite_reading_takes_light_for_ink(digit):
    """A dark pad on a light page, with a light digit: the pad itself is the ink of the usual reading."""
    pad = on_paper(digit, paper=0.1, ink=1.0)
    page = np.ones((200, 200), np.float32)
    page[58:142, 58:142] = pad
    assert not shows(normalise(page), digit)
    near = kinds(readings_near(page, Box(84, 84, 30, 30)))
    assert shows(near["near ink"], digit)


def test_only_a_picture_of_28_by_28_is_also_read_as_it_is(digit):
    found = kinds(readings_of_whole(np.ascontiguousarray(digit)))
    assert np.array_equal(found["as it is"].image, digit)
    assert np.array_equal(found["as its negative"].image, 1 - digit)
    assert not {"as it is", "as its negative"} & set(kinds(readings_of_whole(on_paper(digit))))


def test_readings_near_a_box_stay_in_the_picture(digit):
    picture = on_paper(digit)
    for box in (Box(0, 0, 40, 40), Box(60, 60, 24, 24), Box(28, 28, 28, 28)):
        for reading in readings_near(picture, box):
            found = reading.digit.box
            assert 0 <= found.x < found.x + found.width <= 84
            assert 0 <= found.y < found.y + found.height <= 84


def test_paper_without_contrast_has_no_reading():
    assert not list(readings_of_whole(np.full((60, 60), 0.8, np.float32)))
