"""Pages read: by the package's networks on pages of MNIST test digits, and by made-up ones where it is to be exact."""

import json
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from helpers import page_of
from PIL import Image

import digitnet
from digitnet import Reader
from digitnet.errors import CancelledError, ImageError, ModelError, UsageError
from digitnet.imaging.load import Picture
from digitnet.inference.rejection import Rejection
from digitnet.pages import lattice
from digitnet.pages.constraints import constrained
from digitnet.pages.detect import Detection, merged
from digitnet.pages.fusion import Fusion
from digitnet.pages.page_reader import PageReader
from digitnet.results import Page

STRIDE = 4


class MadeUpDetector:
    """Sees digits where it is told: (x, y, {digit: logit}) each, 40 pixels tall and 24 wide, at full size alone."""

    def __init__(self, size, *digits):
        self.size = size
        self.digits = digits

    def run(self, names, inputs):
        height, width = inputs["pages"].shape[2:]
        cells = np.full((1, 14, height // STRIDE, width // STRIDE), -9.0, np.float32)
        cells[:, 10:] = 0.5
        if 0 <= width - self.size[1] < 70:  # the picture as it is, with its border
            for x, y, logits in self.digits:
                row, column = (16 + y) // STRIDE, (16 + x) // STRIDE
                for digit, logit in logits.items():
                    cells[0, digit, row, column] = logit
                cells[0, 12:, row, column] = math.log(24 / STRIDE), math.log(40 / STRIDE)
        return [cells]


def says_nothing(images):
    """A DigitNet that has no opinion."""
    return np.full((len(images), 11), 1 / 11, np.float32)


def made_up(*digits, threshold=0.6):
    size = (300, 500)
    reader = PageReader(MadeUpDetector(size, *digits), says_nothing, Fusion(), Rejection(threshold))
    return reader, Picture("made up", np.full(size, 0.9, np.float32), size[1], size[0])


SURE_314 = ((100, 100, {3: 6.0}), (140, 100, {1: 6.0}), (180, 100, {4: 6.0}))


@pytest.mark.parametrize("dark_ink", [True, False])
def test_numbers_are_read_line_by_line_with_their_gaps(mnist_digits, dark_ink):
    grey, _ = page_of(mnist_digits, ["0123", "66 66", "4589"])
    page = Reader(max_error=None).read(grey if dark_ink else 1 - grey)
    assert page.text == "0123\n66 66\n4589"
    assert all(line.confidence > 0.3 for line in page.lines)


def test_each_digit_has_its_box_in_pixels_of_the_picture_as_it_was_given(reader, mnist_digits):
    grey, boxes = page_of(mnist_digits, ["2947"])
    large = np.kron(grey, np.ones((6, 6), np.float32))
    assert max(large.shape) > 1600
    page = reader.read(large)
    assert (page.width, page.height) == large.shape[::-1]
    (line,) = page.lines
    for digit, (x, y, width, height) in zip(line.digits, boxes, strict=True):
        box = digit.box
        assert (box.x, box.y) == pytest.approx((6 * x, 6 * y), abs=6 * 0.25 * height)
        assert (box.width, box.height) == pytest.approx((6 * width, 6 * height), abs=6 * 0.25 * height)
    assert line.box.x == min(digit.box.x for digit in line.digits)
    assert line.box.x + line.box.width == max(digit.box.x + digit.box.width for digit in line.digits)


@pytest.mark.parametrize("size", [(60, 40), (480, 640), (1600, 1200)])
def test_where_there_is_nothing_to_read_there_are_no_lines(reader, size):
    noise = 0.02 * np.random.default_rng(0).standard_normal(size).astype(np.float32)
    page = reader.read(np.clip(0.8 + noise, 0, 1))
    assert (page.lines, page.text, page.digits) == ((), "", ())


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


def test_a_clear_page_of_made_up_digits_reads_as_they_are():
    reader, picture = made_up(*SURE_314)
    page = reader.examine(picture).page
    assert page.text == "314"
    (line,) = page.lines
    assert line.note is None
    assert [digit.best_guess for digit in line.digits] == [3, 1, 4]
    assert line.confidence == pytest.approx(math.prod(digit.confidence for digit in line.digits), rel=1e-3)


def test_a_digit_that_may_be_two_is_rejected_alone_with_both():
    reader, picture = made_up(*SURE_314[:2], (180, 100, {4: 3.0, 9: 2.9}))
    (line,) = reader.examine(picture).page.lines
    assert line.text == "31?"
    assert (line.digits[2].digit, line.digits[2].best_guess, line.digits[2].reason) == (None, 4, "unsure: 4 or 9")
    assert line.digits[2].confidence < 0.6 < line.digits[1].confidence


def test_a_doubt_whether_there_is_a_digit_at_all_is_no_doubt_which_one():
    reader, picture = made_up(*SURE_314[:2], (180, 100, {7: 0.4}))
    (line,) = reader.examine(picture).page.lines
    assert line.text == "31?"
    assert (line.digits[2].best_guess, line.digits[2].reason) == (7, "unsure: 7 or no digit")


def test_what_is_hardly_a_digit_is_no_line():
    reader, picture = made_up((100, 100, {3: -1.5}))
    assert reader.examine(picture).page.lines == ()


def test_a_constraint_picks_among_alternatives_and_says_what_it_did():
    reader, picture = made_up(*SURE_314[:2], (180, 100, {4: 3.0, 9: 2.9}))
    (line,) = reader.examine(picture, constrained(pattern=r"\d\d9")).page.lines
    assert (line.text, line.note) == ("319", r"pattern \d\d9; without it 31?")
    (line,) = reader.examine(picture, constrained(length=3)).page.lines
    assert (line.text, line.note) == ("31?", "length 3")


def test_a_constraint_can_leave_out_what_is_not_surely_a_digit():
    reader, picture = made_up(*SURE_314, (220, 100, {1: 0.3}))
    assert reader.examine(picture).page.lines[0].text in ("3141", "314?")
    (line,) = reader.examine(picture, constrained(length=3)).page.lines
    assert line.text == "314"
    assert line.note.startswith("length 3; without it 314")


def test_where_no_reading_fits_every_digit_is_rejected_and_the_note_says_what_stands_there():
    reader, picture = made_up(*SURE_314)
    (line,) = reader.examine(picture, constrained(length=5)).page.lines
    assert (line.text, line.confidence) == ("???", 0.0)
    assert line.note == "no reading has length 5; without it 314"
    assert {digit.reason for digit in line.digits} == {"no reading has length 5"}
    assert [digit.best_guess for digit in line.digits] == [3, 1, 4]


def test_of_more_lines_than_asked_for_the_likeliest_are_kept_in_their_order():
    below = [(x, 220, logits) for x, _, logits in SURE_314]
    reader, picture = made_up((300, 40, {7: 1.0}), *SURE_314, *below)
    assert len(reader.examine(picture).page.lines) == 3
    page = reader.examine(picture, lines=2).page
    assert page.text == "314\n314"
    assert page.lines[0].box.y < page.lines[1].box.y
    assert page.note == "3 lines found, the likeliest 2 kept"
    assert reader.examine(picture, lines=4).page.note == "3 of 4 lines found"
    assert reader.examine(picture, lines=3).page.note is None


def test_a_page_becomes_json_by_the_contract():
    reader, picture = made_up(*SURE_314)
    page = json.loads(json.dumps(reader.examine(picture).page.to_dict()))
    assert (page["width"], page["height"], page["note"]) == (500, 300, None)
    (line,) = page["lines"]
    assert (line["text"], line["note"]) == ("314", None)
    x, y, width, height = line["box"]
    assert (x, y) == pytest.approx((88, 80), abs=STRIDE)
    assert (width, height) == pytest.approx((104, 40), abs=STRIDE)
    digit = line["digits"][1]
    assert list(digit) == ["digit", "confidence", "reason", "best_guess", "probabilities", "box"]
    assert (digit["digit"], digit["reason"], len(digit["probabilities"]), len(digit["box"])) == (1, None, 10, 4)


def test_a_page_is_drawn_over_its_picture_and_survives_pickling(reader, mnist_digits):
    grey, boxes = page_of(mnist_digits, ["70"])
    page = pickle.loads(pickle.dumps(reader.read(grey)))
    drawing = page.draw()
    assert isinstance(drawing, Image.Image)
    scale = drawing.width / page.width
    coloured = np.ptp(np.asarray(drawing).astype(int), axis=2) > 40
    x, y, width, height = (round(scale * side) for side in boxes[0])
    assert coloured[y - height // 4 : y + height * 5 // 4, x - width // 2 : x + width * 3 // 2].any()
    assert not coloured[-round(10 * scale) :].any()
    with pytest.raises(ValueError, match="no picture"):
        Page(10, 10, ()).draw()


def test_the_module_reads_too(mnist_digits):
    assert digitnet.read(page_of(mnist_digits, ["42"])[0], length=2).text == "42"


@pytest.mark.parametrize("content", [b"", b"no onnx", None])
def test_another_file_is_no_detector(tmp_path, content):
    path = tmp_path / "detector.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"detector\.onnx"):
        Reader(detector=path)


def test_a_digitnet_is_no_detector():
    from digitnet.inference.onnx_models import PACKAGED_MODEL

    with pytest.raises(ModelError, match="not a detector"):
        Reader(detector=PACKAGED_MODEL)


@pytest.mark.parametrize("side", [60, 400, 1200])
def test_one_digit_alone_is_read_in_any_size_and_seen_even_where_the_detector_is_blind(
    reader, mnist_digits, side, monkeypatch
):
    images, labels = mnist_digits
    ink = (255 * images[labels == 3][0]).astype(np.uint8)
    digit = np.asarray(Image.fromarray(255 - ink).resize((side, side), Image.Resampling.BICUBIC))
    picture = np.pad(digit, side // 3, constant_values=255)
    (seen,) = reader.read(picture).digits
    assert seen.best_guess == 3
    assert seen.box.height == pytest.approx(0.75 * side, rel=0.15)
    monkeypatch.setattr("digitnet.pages.detect.detect_at_one_scale", lambda session, sized: iter(()))
    ((detection,), _, _) = reader._pages.classified(picture.astype(np.float32) / 255)
    assert (detection.digit, detection.alone) == (3, True)


def test_where_there_are_several_digits_none_is_alone(reader, mnist_digits):
    grey, _ = page_of(mnist_digits, ["314"])
    detections, _, _ = reader._pages.classified(grey)
    assert detections
    assert not any(detection.alone for detection in detections)


def test_the_one_digit_of_a_picture_is_answered_where_digitnet_is_sure_and_rejected_where_it_is_not(reader):
    sure, unsure = np.full((2, 11), 0.001, np.float32)
    sure[7], unsure[7], unsure[1] = 0.99, 0.6, 0.39
    scores = np.full(10, 0.01, np.float32)
    scores[7] = 0.9
    page = PageReader(None, says_nothing, Fusion(), Rejection(0.9999), Rejection(0.95))
    for answer, alone, digit in ((sure, True, 7), (unsure, True, None), (sure, False, None)):
        detection = Detection(10, 10, 40, 60, scores, alone=alone)
        (candidate,) = page.fusion.candidates([detection], answer[np.newaxis])
        vouched = page._vouched(candidate, answer)
        line = page._as_line(lattice.read([vouched]), Picture("made up", np.zeros((100, 100), np.float32), 100, 100))
        assert line.digits[0].digit == digit
        assert line.digits[0].best_guess == 7


def test_a_pattern_may_still_overrule_what_digitnet_vouches_for(reader):
    answer = np.full(11, 0.001, np.float32)
    answer[7], answer[1] = 0.97, 0.02
    scores = np.full(10, 0.01, np.float32)
    scores[7] = 0.9
    page = PageReader(None, says_nothing, Fusion(), Rejection(0.9), Rejection(0.95))
    (candidate,) = page.fusion.candidates([Detection(10, 10, 40, 60, scores, alone=True)], answer[np.newaxis])
    line, _ = page._line(
        [page._vouched(candidate, answer)],
        constrained(pattern="[0-3]"),
        Picture("made up", np.zeros((100, 100), np.float32), 100, 100),
    )
    assert (line.digits[0].digit, line.digits[0].best_guess) == (None, 1)


def test_crops_belong_to_the_pages_digits_in_their_order(reader, mnist_digits):
    grey, _ = page_of(mnist_digits, ["0123", "4589"])
    examination = reader.examine_page(grey)
    assert examination.crops.shape == (len(examination.page.digits), 28, 28)
    seen = reader.predict_normalised(examination.crops)
    assert [digit.best_guess for digit in seen] == [digit.best_guess for digit in examination.page.digits]
    kept = reader.examine_page(grey, lines=1)
    assert len(kept.crops) == len(kept.page.digits) == 4
    assert reader.examine_page(np.ones((60, 60))).crops.shape == (0, 28, 28)


def test_reading_stops_wherever_it_is_when_its_caller_no_longer_waits(reader, mnist_digits):
    grey, _ = page_of(mnist_digits, ["0123", "4589", "1234"])
    asked = 0

    def after(calls):
        def is_cancelled():
            nonlocal asked
            asked += 1
            return asked > calls

        return is_cancelled

    assert len(reader.examine_page(grey, is_cancelled=after(10**6)).page.lines) == 3
    often, asked = asked, 0
    assert often >= 6  # between scales, crops and lines
    for calls in range(often):
        asked = 0
        with pytest.raises(CancelledError, match="no longer waits"):
            reader.examine_page(grey, is_cancelled=after(calls))


def test_memory_grows_with_the_digits_and_not_with_their_square():
    def peak(side):
        rng = np.random.default_rng(0)
        scores = np.full(10, 0.01, np.float32)
        scores[3] = 0.9
        places = [(20.0 * (n % side), 20.0 * (n // side)) for n in range(side * side)]
        places = [(x + rng.uniform(0, 2), y + rng.uniform(0, 2)) for x, y in places]
        found = [Detection(x, y, x + 12, y + 16, scores) for x, y in places]
        probabilities = np.full((len(found), 11), 1 / 11, np.float32)
        tracemalloc.start()
        candidates = Fusion().candidates(merged([found]), probabilities)
        lines = lattice.grouped(candidates)
        read = [lattice.read(line) for line in lines]
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(len(reading.digits) for reading in read) == side * side
        return memory

    assert peak(44) < 6 * peak(22)
