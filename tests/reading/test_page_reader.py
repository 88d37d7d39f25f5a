"""Pages read: by networks whose answers are known where it is to be exact, and by the package's as a whole."""

import json
import math
import pickle

import numpy as np
import pytest
from helpers import page_of
from made_up import TALL, finder, page, written
from PIL import Image

import digitnet
from digitnet import Reader
from digitnet.errors import CancelledError, ImageError, ModelError, UsageError
from digitnet.reading.answer import Rejection
from digitnet.reading.constraints import constrained
from digitnet.reading.networks import PACKAGED_DETECTOR, PACKAGED_LINE_READER, PACKAGED_MODEL
from digitnet.reading.page_reader import PageReader
from digitnet.results import Page

DOUBT = {4: {4: 0.5, 9: 0.45}}  # a 4 that may be a 9


def made_up(doubts=None, **options):
    found = finder(doubts, **{"threshold": 0.6, **options})
    return PageReader(lambda: found, Rejection(0.6))


def read(picture, doubts=None, constraint=None, lines=None, **options):
    return made_up(doubts, **options).examine(picture, constraint, lines).page


PAGE_314 = page(*written("314"))


def test_a_clear_page_reads_as_it_stands():
    (line,) = read(PAGE_314).lines
    assert (line.text, line.note) == ("314", None)
    assert [digit.best_guess for digit in line.digits] == [3, 1, 4]
    assert line.confidence == pytest.approx(math.prod(digit.confidence for digit in line.digits), rel=1e-3)


def test_a_digit_that_may_be_two_is_rejected_alone_with_both():
    (line,) = read(PAGE_314, DOUBT).lines
    assert line.text == "31?"
    assert (line.digits[2].digit, line.digits[2].best_guess, line.digits[2].reason) == (None, 4, "unsure: 4 or 9")
    assert line.digits[2].confidence < 0.6 < line.digits[1].confidence
    assert line.digits[2].probabilities[9] == pytest.approx(0.45 / 0.95, abs=1e-3)


def test_a_doubt_whether_there_is_a_digit_at_all_is_no_doubt_which_one():
    (line,) = read(PAGE_314, {4: {4: 0.6}}).lines
    assert line.text == "31?"
    assert (line.digits[2].best_guess, line.digits[2].reason) == (4, "unsure: 4 or no digit")


def test_a_digit_that_digitnet_names_otherwise_is_rejected_however_sure_it_is():
    (line,) = read(PAGE_314, digitnet={4: {9: 0.99}}).lines
    assert line.text == "31?"
    assert line.digits[2].best_guess == 4
    (line,) = read(PAGE_314, digitnet={4: {9: 0.99}}, threshold=0.0).lines
    assert line.text == "314"


def test_a_lone_digit_needs_more_proof_than_one_among_others():
    unsure = {4: {4: 0.85}}
    assert read(PAGE_314, unsure, threshold=0.5).text == "314"
    assert read(page(*written("4")), unsure, threshold=0.5).text == "?"


def test_a_users_own_model_has_the_last_word_on_pages_too():
    assert read(PAGE_314, digitnet={4: {9: 0.99}}, names_alone=True).text == "319"


def test_what_is_hardly_a_digit_is_no_line():
    assert read(page(*written("3")), {3: {3: 0.2}}).lines == ()


def test_a_wide_gap_is_a_blank():
    assert read(page(*written("31"), *written("4", x=200))).text == "31 4"


def test_a_constraint_picks_among_alternatives():
    (line,) = read(PAGE_314, DOUBT, constrained(pattern=r"\d\d9")).lines
    assert [digit.best_guess for digit in line.digits] == [3, 1, 9]
    assert line.digits[2].confidence > 0.99


def test_a_constraint_says_what_it_did():
    (line,) = read(PAGE_314, DOUBT, constrained(length=3)).lines
    assert (line.text, line.note) == ("31?", "length 3")
    (line,) = read(page(*written("3149")), {9: {1: 0.6}}, constrained(length=3)).lines
    assert (line.text, line.note) == ("314", "length 3; without it 314?")


def test_a_constraint_that_settles_a_doubt_turns_it_into_an_answer():
    (line,) = read(PAGE_314, DOUBT, constrained(pattern=r"\d\d9")).lines
    assert (line.text, line.note) == ("319", r"pattern \d\d9; without it 31?")


def test_where_no_reading_fits_every_digit_is_rejected_and_the_note_says_what_stands_there():
    (line,) = read(PAGE_314, None, constrained(length=60)).lines
    assert (line.text, line.confidence) == ("???", 0.0)
    assert line.note == "no reading has length 60; without it 314"
    assert {digit.reason for digit in line.digits} == {"no reading has length 60"}
    assert [digit.best_guess for digit in line.digits] == [3, 1, 4]


def test_of_more_lines_than_asked_for_the_likeliest_are_kept_in_their_order():
    picture = page(*written("9", x=300, y=10), *written("314", y=110), *written("314", y=210))
    unsure = {9: {9: 0.7}}
    assert read(picture, unsure).text == "?\n314\n314"
    two = read(picture, unsure, lines=2)
    assert two.text == "314\n314"
    assert two.lines[0].box.y < two.lines[1].box.y
    assert two.note == "3 lines found, the likeliest 2 kept"
    assert read(picture, unsure, lines=4).note == "3 of 4 lines found"
    assert read(picture, unsure, lines=3).note is None


def test_a_page_becomes_json_by_the_contract():
    found = json.loads(json.dumps(read(PAGE_314).to_dict()))
    assert (found["width"], found["height"], found["note"]) == (640, 300, None)
    (line,) = found["lines"]
    assert (line["text"], line["note"]) == ("314", None)
    x, y, width, height = line["box"]
    assert (x, y) == pytest.approx((60, 100), abs=2)
    assert (width, height) == pytest.approx((120, TALL), abs=4)
    digit = line["digits"][1]
    assert list(digit) == ["digit", "confidence", "reason", "best_guess", "probabilities", "box"]
    assert (digit["digit"], digit["reason"], len(digit["probabilities"]), len(digit["box"])) == (1, None, 10, 4)


def test_crops_belong_to_the_pages_digits_in_their_order():
    picture = page(*written("314", y=20), *written("97", y=200))
    examination = made_up().examine(picture)
    assert examination.page.text == "314\n97"
    assert examination.crops.shape == (5, 28, 28)
    widths = [int((crop.max(0) > 0.5).sum()) for crop in examination.crops]
    assert widths[:3] == sorted(widths[:3])
    assert widths[3] > widths[4] > widths[2]
    kept = made_up().examine(picture, lines=1)
    assert len(kept.crops) == len(kept.page.digits) == 3
    assert made_up().examine(page()).crops.shape == (0, 28, 28)


def test_boxes_are_in_pixels_of_the_picture_as_it_was_given():
    grey = PAGE_314.grey
    larger = type(PAGE_314)("larger", grey, 3 * grey.shape[1], 3 * grey.shape[0])
    for one, other in zip(read(PAGE_314).digits, read(larger).digits, strict=True):
        assert (other.box.x, other.box.height) == pytest.approx((3 * one.box.x, 3 * one.box.height), abs=2)


# The package's networks.


@pytest.mark.parametrize("dark_ink", [True, False])
def test_numbers_are_read_line_by_line_with_their_gaps(mnist_digits, dark_ink):
    grey, _ = page_of(mnist_digits, ["0123", "66 66", "4589"])
    found = Reader(max_error=None).read(grey if dark_ink else 1 - grey)
    assert found.text == "0123\n66 66\n4589"


def test_each_digit_has_its_box_in_the_picture(reader, mnist_digits):
    grey, boxes = page_of(mnist_digits, ["2947"])
    large = np.kron(grey, np.ones((6, 6), np.float32))
    assert max(large.shape) > 1600
    found = reader.read(large)
    assert (found.width, found.height) == large.shape[::-1]
    (line,) = found.lines
    for digit, (x, y, width, height) in zip(line.digits, boxes, strict=True):
        box = digit.box
        assert (box.x, box.y) == pytest.approx((6 * x, 6 * y), abs=6 * 0.25 * height)
        assert (box.width, box.height) == pytest.approx((6 * width, 6 * height), abs=6 * 0.25 * height)
    assert line.box.x == min(digit.box.x for digit in line.digits)
    assert line.box.x + line.box.width == max(digit.box.x + digit.box.width for digit in line.digits)


@pytest.mark.parametrize("size", [(60, 40), (480, 640), (1600, 1200)])
def test_where_there_is_nothing_to_read_there_are_no_lines(reader, size):
    noise = 0.02 * np.random.default_rng(0).standard_normal(size).astype(np.float32)
    found = reader.read(np.clip(0.8 + noise, 0, 1))
    assert (found.lines, found.text, found.digits) == ((), "", ())


@pytest.mark.parametrize("side", [60, 400, 1200])
def test_one_digit_alone_is_read_in_any_size(reader, mnist_digits, side):
    images, labels = mnist_digits
    ink = (255 * images[labels == 3][0]).astype(np.uint8)
    digit = np.asarray(Image.fromarray(255 - ink).resize((side, side), Image.Resampling.BICUBIC))
    (seen,) = reader.read(np.pad(digit, side // 3, constant_values=255)).digits
    assert seen.best_guess == 3
    assert seen.box.height == pytest.approx(0.75 * side, rel=0.15)


def test_what_the_picture_cannot_be_is_an_error(reader):
    with pytest.raises(ImageError, match="not a picture"):
        reader.read(b"not a picture")


@pytest.mark.parametrize(
    ("known", "words"),
    [({"lines": 0}, "0 lines"), ({"length": 0}, "length of 0"), ({"check": "crc"}, "crc"), ({"pattern": "x"}, "'x'")],
)
def test_what_cannot_be_asked_for_is_refused_before_the_picture_is_looked_at(reader, known, words):
    with pytest.raises(UsageError, match=words):
        reader.read("missing.jpg", **known)


def test_a_page_is_drawn_over_its_picture_and_survives_pickling(reader, mnist_digits):
    grey, boxes = page_of(mnist_digits, ["70"])
    found = pickle.loads(pickle.dumps(reader.read(grey)))
    drawing = found.draw()
    assert isinstance(drawing, Image.Image)
    scale = drawing.width / found.width
    coloured = np.ptp(np.asarray(drawing).astype(int), axis=2) > 40
    x, y, width, height = (round(scale * side) for side in boxes[0])
    assert coloured[y - height // 4 : y + height * 5 // 4, x - width // 2 : x + width * 3 // 2].any()
    assert not coloured[-round(10 * scale) :].any()
    with pytest.raises(ValueError, match="no picture"):
        Page(10, 10, ()).draw()


def test_the_module_reads_too(mnist_digits):
    assert digitnet.read(page_of(mnist_digits, ["42"])[0], length=2).digits[0].best_guess == 4


@pytest.mark.parametrize("content", [b"", b"no onnx", None])
@pytest.mark.parametrize("kind", ["detector", "line_reader"])
def test_another_file_is_no_network(tmp_path, kind, content):
    path = tmp_path / f"{kind}.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{kind}\.onnx"):
        Reader(**{kind: path})


def test_networks_that_were_mixed_up_are_refused_when_the_reader_is_made():
    with pytest.raises(ModelError, match="not a detector"):
        Reader(detector=PACKAGED_MODEL)
    with pytest.raises(ModelError, match="not a line reader"):
        Reader(line_reader=PACKAGED_DETECTOR)
    with pytest.raises(ModelError, match="not a DigitNet"):
        Reader(PACKAGED_LINE_READER)


def test_reading_stops_when_its_caller_no_longer_waits(reader, mnist_digits):
    grey, _ = page_of(mnist_digits, ["0123", "4589"])
    with pytest.raises(CancelledError, match="no longer waits"):
        reader.examine_page(grey, is_cancelled=lambda: True)
