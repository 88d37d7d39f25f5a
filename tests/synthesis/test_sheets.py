import numpy as np
import pytest

from digitnet.synthesis.sheets import Sheet


@pytest.mark.parametrize("top", [-20, -5, 0, 35, 60])
def test_a_patch_that_hangs_over_the_sheet_touches_the_ink_there_or_stays_where_it_was(top):
    sheet, block = Sheet(40, 100), np.ones((10, 8), np.float32)
    sheet.add(block, 20, 0)
    assert sheet.touch(block, top, 28) == (27 if -10 < top < 10 else 28)


def block(width=10, height=20):
    return np.ones((height, width), np.float32)


def test_cropping_moves_the_digits_and_a_digit_that_is_cut_off_loses_its_label():
    sheet = Sheet(60, 100)
    for place, left in enumerate((10, 30, 50, 80)):
        sheet.write(block(), left, 20, place, line=0)
    sheet.crop(11, 15, 53, 45)
    assert sheet.ink.shape == (30, 42)
    assert [(digit.label, digit.left, digit.right) for digit in sheet.digits] == [
        (0, -1, 9),
        (1, 19, 29),
        (None, 39, 49),
    ]
    assert {(digit.top, digit.bottom) for digit in sheet.digits} == {(5, 25)}


@pytest.mark.parametrize(("visible", "counts"), [(80, False), (84, False), (86, True), (100, True)])
def test_a_digit_counts_if_no_more_than_15_percent_of_its_width_are_cut_off(visible, counts):
    sheet = Sheet(30, 200)
    sheet.write(block(width=100), 200 - visible, 5, 8, line=0)
    assert (sheet.digits[0].label == 8) == counts


def test_a_place_is_inked_where_there_is_a_stroke():
    sheet = Sheet(60, 100)
    sheet.add(block(), 10, 20)
    assert sheet.is_inked(0, 0, 15, 25)
    assert not sheet.is_inked(-5, -5, 9, 60)
