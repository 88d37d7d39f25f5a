from dataclasses import replace

import numpy as np
import pytest
import torch

from digitnet.inference.rejection import Rejection
from digitnet.pages.detect import Detection
from digitnet.pages.fusion import FEATURES, Fusion
from digitnet.pages.lattice import ReadDigit, Reading
from digitnet.pages.page_reader import PageReader
from digitnet.synthesis.pages import MadeDigit, MadePage
from digitnet.training import fusion_calibration
from digitnet.training.fusion_calibration import ReadLine, matched, read_lines, risks, with_line_confidence


def detection(left, top, width=20.0, height=30.0, digit=3, score=0.9):
    scores = np.full(10, 0.01, np.float32)
    scores[digit] = score
    return Detection(left, top, left + width, top + height, scores)


def test_a_digit_goes_to_the_detection_that_overlaps_it_most_and_other_detections_of_it_are_nothing():
    digits = [MadeDigit(3, 0, 0, 20, 30, 0), MadeDigit(8, 40, 0, 60, 30, 0), MadeDigit(1, 80, 0, 90, 30, 0)]
    detections = [detection(5, 2), detection(1, 0), detection(41, 2), detection(200, 0), detection(40, 0, height=90)]
    assert matched(detections, digits) == [None, digits[0], digits[1], None, None]


def test_nobody_can_name_the_detection_of_a_digit_that_is_cut_off():
    cut_off = MadeDigit(None, -10, 0, 10, 30, 0)
    (truth, other) = matched([detection(-4, 0), detection(40, 0)], [cut_off])
    assert truth.label is None
    assert other is None


def test_risks_are_the_part_of_the_digits_read_that_is_wrong(monkeypatch):
    """Two sure digits of which one is wrong, and an unsure one that is right, far apart."""
    page = MadePage(
        np.full((64, 512), 200, np.uint8),
        (MadeDigit(3, 0, 0, 20, 30, 0), MadeDigit(5, 200, 0, 220, 30, 0), MadeDigit(3, 400, 0, 420, 30, 0)),
    )
    detections = [detection(0, 0, score=0.999), detection(200, 0, score=0.999), detection(400, 0, score=0.8)]
    monkeypatch.setattr("digitnet.pages.page_reader.detect", lambda session, grey, known, stop: detections)
    reader = PageReader(None, lambda images: np.full((len(images), 11), 1 / 11, np.float32), Fusion(), Rejection(0.0))
    table = {round(risk.threshold, 3): risk.error for risk in risks(read_lines(reader, [page], reader.probabilities))}
    assert table[0.1] == pytest.approx(1 / 3)
    assert table[0.91] == pytest.approx(1 / 2)


def test_what_a_second_network_reads_alike_is_a_digit_that_lost_its_shape(monkeypatch):
    page = MadePage(np.full((64, 64), 200, np.uint8), (MadeDigit(9, 10, 0, 30, 30, 0),))
    page.picture[5:25, 12:28] = 20
    monkeypatch.setattr(
        "digitnet.pages.page_reader.detect", lambda session, grey, known, stop: [detection(10, 0, digit=4, score=0.99)]
    )
    reader = PageReader(None, lambda images: np.full((len(images), 11), 1 / 11, np.float32), Fusion(), Rejection(0.0))

    def label(seen):
        (line,) = read_lines(reader, [page], lambda images: np.eye(11, dtype=np.float32)[[seen] * len(images)])
        return line.truth[0].label

    assert (label(4), label(9), label(10)) == (None, 9, 9)


def test_a_stray_mark_that_a_second_network_takes_for_the_same_digit_counts_for_nobody(monkeypatch):
    """A bar among digits may be a 1 to anybody. A bar of a digit, and a letter on a page of letters, are not."""
    page = MadePage(np.full((64, 200), 200, np.uint8), (MadeDigit(3, 10, 0, 30, 30, 0),))
    page.picture[5:25, 12:28] = page.picture[5:25, 62:68] = 20
    detections = [detection(10, 0, digit=3, score=0.99), detection(55, 0, digit=1, score=0.99)]
    monkeypatch.setattr("digitnet.pages.page_reader.detect", lambda session, grey, known, stop: detections)
    reader = PageReader(None, lambda images: np.full((len(images), 11), 1 / 11, np.float32), Fusion(), Rejection(0.0))

    def truth(page, seen=1):
        lines = read_lines(reader, [page], lambda images: np.eye(11, dtype=np.float32)[[seen] * len(images)])
        return lines[0].truth[-1], lines[0].is_right

    assert truth(page)[0].label is None
    assert truth(page)[1] is None
    assert truth(page, seen=7) == (None, False)
    assert truth(replace(page, digits=())) == (None, False)
    assert truth(replace(page, digits=(MadeDigit(4, 40, -10, 95, 60, 0),)))[0] is None


def line_of(text, read, confidence=0.9, missed=0):
    """A line on which `text` is written and `read` is read, digit by digit, without the last `missed` ones."""
    digits = tuple(MadeDigit(int(label), 30 * index, 0, 30 * index + 20, 30, 0) for index, label in enumerate(text))
    seen = digits[: len(digits) - missed]
    reading = Reading(tuple(ReadDigit(None, int(digit), 0.95, (0.1,) * 10) for digit in read), confidence)
    return ReadLine(MadePage(np.zeros((40, 400), np.uint8), digits), reading, list(seen))


def test_a_line_is_right_where_all_its_digits_were_found_and_named():
    assert line_of("123", "123").is_right
    assert not line_of("123", "128").is_right
    assert not line_of("1234", "123", missed=1).is_right
    cut_off = line_of("123", "123")
    half = MadeDigit(None, 90, 0, 95, 30, 0)
    assert replace(cut_off, page=replace(cut_off.page, digits=(*cut_off.page.digits, half))).is_right is None


def test_confidence_of_a_line_falls_where_lines_like_it_lack_digits():
    lines = [line_of("123", "123") for _ in range(6)] + [line_of("1234", "123", missed=1) for _ in range(4)]
    assert Fusion().line_confidence(0.9) == pytest.approx(0.9)
    assert with_line_confidence(Fusion(), lines).line_confidence(0.9) == pytest.approx(0.6, abs=0.01)


def test_made_pages_are_the_same_every_time_and_of_several_sizes():
    one, other = (list(fusion_calibration.made_pages(None, 12)) for _ in range(2))
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(one, other, strict=True))
    assert len({page.picture.shape for page in one}) == 11
    assert [len(page.digits) for page in one[3::6]] == [1, 1]
    assert [len(page.digits) for page in one[4::6]] == [0, 0]  # letters


def test_a_photo_is_larger_and_its_digits_are_where_they_were():
    ink = np.full((64, 96), 220, np.uint8)
    ink[20:50, 30:50] = 40
    page = MadePage(ink, (MadeDigit(3, 30, 20, 50, 50, 0),))
    photo = fusion_calibration._photo(page, np.random.default_rng(1))
    (digit,) = photo.digits
    factor = photo.picture.shape[0] / 64
    assert factor > 1.2
    assert digit.bottom - digit.top == pytest.approx(30 * factor, rel=0.05)
    inside = photo.picture[round(digit.top) : round(digit.bottom), round(digit.left) : round(digit.right)]
    assert inside.mean() < 60 < 180 < np.median(photo.picture)


def test_the_log_odds_can_be_fitted_to_what_no_linear_function_of_the_features_gives(monkeypatch):
    """A digit is there where exactly one of two features is large (Minsky and Papert, 1969)."""
    monkeypatch.setattr(fusion_calibration, "FIT_STEPS", 100)  # enough here
    inputs = np.random.default_rng(0).normal(size=(1000, FEATURES))
    exists = (inputs[:, 3] > 0) != (inputs[:, 8] > 0)
    fusion = fusion_calibration._with_log_odds(Fusion(), torch.from_numpy(inputs), torch.from_numpy(exists).double())
    new = np.random.default_rng(1).normal(size=(500, FEATURES))
    assert (((fusion.log_odds(new)) > 0) == ((new[:, 3] > 0) != (new[:, 8] > 0))).mean() > 0.85
