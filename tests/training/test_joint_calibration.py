import numpy as np
import pytest
from made_up import DigitNet, LineReader

from digitnet.errors import ModelError
from digitnet.reading.alphabet import OTHER
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.lines import FoundDigit, FoundLine
from digitnet.reading.places import Place
from digitnet.synthesis.strips import MadeStrip
from digitnet.training import joint_calibration
from digitnet.training.joint_calibration import Seen, calibrate_joint, digits_of, made_strips, seen_in

WIDTHS = {3: 4, 1: 8, 4: 12, 7: 16, 9: 20}  # pixels of the bars of `made_up`, in strips


def strip(text):
    """A strip with a bar for each digit."""
    picture, symbols, x = np.full((48, 30 + 40 * len(text)), 220, np.uint8), [], 20
    for digit in map(int, text):
        picture[6:42, x : x + WIDTHS[digit]] = 30
        symbols.append((digit, (x, x + WIDTHS[digit])))
        x += 40
    return MadeStrip(picture, tuple(symbols))


def calibrated(strips, monkeypatch, *, line_reader=None, digitnet=None):
    monkeypatch.setattr(joint_calibration, "made_strips", lambda data: strips)
    return calibrate_joint(LineReader(line_reader), DigitNet(digitnet))


def test_the_places_of_digits_are_in_pixels_of_the_strip_as_it_is_read():
    found = digits_of(MadeStrip(np.zeros((96, 300), np.uint8), ((3, (40, 80)), (OTHER, (90, 130)), (9, (200, 240)))))
    assert found == [(3, 60 / 2), (9, 220 / 2)]


def test_weights_are_among_those_tried_and_risks_rise_with_the_share_of_wrong_answers(monkeypatch):
    strips = [strip("314")] * 6 + [strip("97")] * 6
    joint, risks = calibrated(strips, monkeypatch)
    assert (joint.exists in joint_calibration.EXISTS, joint.offset in joint_calibration.OFFSETS) == (True, True)
    assert min(risk.error for risk in risks) < 0.05
    wrong = [MadeStrip(one.picture, tuple((3, span) for _, span in one.symbols)) for one in strips[:3]]
    _, worse = calibrated([*strips, *wrong], monkeypatch)
    assert min(risk.error for risk in worse) > min(risk.error for risk in risks)


def test_digitnets_doubt_counts_where_it_is_right(monkeypatch):
    """Half of what both take for a digit is none. DigitNet doubts it, or does not."""
    digits = [strip("4")] * 8 + [strip("9")] * 8
    nothing = [MadeStrip(one.picture, ()) for one in digits[8:]]
    seen = {4: {4: 0.75}, 9: {9: 0.75}}
    knows, _ = calibrated([*digits[:8], *nothing], monkeypatch, line_reader=seen, digitnet={9: {9: 0.02}})
    blind, _ = calibrated([*digits[:8], *nothing], monkeypatch, line_reader=seen)
    assert knows.agreed[1] > blind.agreed[1] + 0.1


def test_a_line_reader_that_reads_nothing_is_refused(monkeypatch):
    with pytest.raises(ModelError, match="no digit"):
        calibrated([strip("314")], monkeypatch, line_reader={digit: {} for digit in WIDTHS})


def test_only_what_both_networks_name_has_a_risk():
    three, four = np.full((2, 11), 0.01)
    three[3], four[4] = 0.9, 0.9
    joint = joint_calibration.Joint()
    both = [Seen(three, three.astype(np.float32), 3, is_lone=False, is_agreed=True)] * 20
    dispute = [Seen(three, four.astype(np.float32), 7, is_lone=False, is_agreed=False)] * 20
    assert joint_calibration._risks(joint, [*both, *dispute]) == joint_calibration._risks(joint, both)


def found_at(*places):
    """A line of 3s whose ink begins at these pixels and is 10 wide."""
    three = np.full(11, 0.01)
    three[3] = 0.9
    digits = tuple(FoundDigit((x, 5, x + 10, 40), three, three, three, is_agreed=True) for x in places)
    return FoundLine(digits, 0.8, three, Place(0, 0, 100, 48, 33))


def test_a_digit_that_was_lost_makes_its_neighbour_wrong():
    (one, two) = seen_in(found_at(10, 60), [(3, 15), (3, 65), (1, 85)])
    assert (one.label, two.label) == (3, NOT_A_DIGIT)
    assert [each.label for each in seen_in(found_at(10, 60, 80), [(3, 15), (3, 65), (1, 85)])] == [3, 3, 1]


def test_a_digit_where_none_is_written_is_wrong():
    (one, two) = seen_in(found_at(10, 60), [(3, 65)])
    assert (one.label, two.label) == (NOT_A_DIGIT, 3)
    assert seen_in(found_at(), [(3, 65)]) == []


@pytest.fixture
def few_sheets(few_digits, monkeypatch):
    monkeypatch.setattr(joint_calibration, "SHEETS", 12)


def test_the_strips_are_the_same_at_every_call_and_their_digits_are_known(few_sheets):
    one, other = made_strips(), made_strips()
    assert len(one) == len(other) > 10
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(one, other, strict=True))
    assert not any(digits_of(strip) and strip.unknown for strip in one)
    assert sum(bool(digits_of(strip)) for strip in one) > len(one) / 2
