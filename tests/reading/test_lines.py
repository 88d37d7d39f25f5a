"""Lines read by networks whose answers are known."""

import json
import tracemalloc
from dataclasses import asdict, replace

import made_up
import numpy as np
import pytest
from made_up import TALL, WIDTHS, finder, page, text_of, written

from digitnet.errors import CancelledError, ModelError
from digitnet.reading.answer import Rejection, Risk
from digitnet.reading.constraints import constrained
from digitnet.reading.lines import (
    UNSEEN,
    FoundDigit,
    FoundLine,
    Joint,
    LineFinder,
    best_shown,
    in_reading_order,
    without_duplicates,
)
from digitnet.reading.networks import PACKAGED_DETECTOR, PACKAGED_LINE_READER, PACKAGED_MODEL
from digitnet.reading.normalise import normalise
from digitnet.reading.places import Place
from digitnet.reading.strips import cut


def eleven(digit, share=0.99, none=0.005):
    found = np.full(11, (1 - share - none) / 9)
    found[digit], found[10] = share, none
    return found


def digit_at(x, y=0.0, *, digit=3, share=0.99, none=0.005, width=20, height=30):
    probabilities = eleven(digit, share, none)
    return FoundDigit((x, y, x + width, y + height), probabilities, probabilities, probabilities)


def line_of(*digits, height=30.0):
    return FoundLine(tuple(digits), 0.9, eleven(3), Place(0, 0, 10, 10, height))


def row_of(text, x=0.0, y=0.0):
    return line_of(*(digit_at(x + 25 * place, y, digit=int(one)) for place, one in enumerate(text)))


def test_a_line_is_found_and_read_and_each_digit_has_its_place():
    (line,) = finder().lines(page(*written("31479")).grey)
    assert text_of(line) == "31479"
    assert line.is_allowed
    assert line.free is None
    assert line.confidence == pytest.approx(0.999**5, abs=1e-4)
    for digit, (x, y, label) in zip(line.digits, written("31479"), strict=True):
        assert digit.edges == pytest.approx((x, y, x + WIDTHS[label], y + TALL), abs=2)
        assert digit.height == pytest.approx(TALL, abs=3)
        assert digit.is_agreed


@pytest.mark.parametrize("polarity", [1, -1])
def test_lines_come_from_top_to_bottom(polarity):
    grey = page(*written("347", y=20), *written("19", y=120), *written("4", y=220)).grey
    if polarity < 0:
        with_light_ink = finder()
        with_light_ink.detector.run = lambda names, inputs: made_up.Detector().run(names, {"pages": -inputs["pages"]})
        read = made_up.LineReader()
        with_light_ink.line_reader.run = lambda names, inputs: read.run(names, {"strips": -inputs["strips"]})
        assert [text_of(line) for line in with_light_ink.lines(1 - grey)] == ["347", "19", "4"]
    else:
        assert [text_of(line) for line in finder().lines(grey)] == ["347", "19", "4"]


def test_what_the_line_reader_missed_among_its_digits_is_a_doubtful_digit_in_its_place():
    (line,) = finder({7: {}}).lines(page(*written("3749")).grey)
    assert text_of(line) == "3749"
    missed = line.digits[1]
    assert (missed.digit, missed.confidence) == (7, pytest.approx(0.5, abs=0.01))
    assert not missed.is_agreed
    assert missed.edges == pytest.approx((110, 100, 110 + WIDTHS[7], 100 + TALL), abs=2)
    assert line.confidence == pytest.approx(0.5, abs=0.01)


def test_what_neither_network_takes_for_a_digit_is_none():
    (line,) = finder({7: {}}, digitnet={7: {}}).lines(page(*written("3749")).grey)
    assert text_of(line) == "349"


def test_what_the_detector_missed_beside_a_line_is_read_all_the_same():
    of = finder()
    whole = of.detector.run

    def blind_to_the_last(names, inputs):
        (maps,) = whole(names, inputs)
        columns = np.flatnonzero(maps[0, :10].max((0, 1)) > 0)
        if len(columns):
            maps[:, :10, :, columns.max()] = -9
        return [maps]

    of.detector.run = blind_to_the_last
    (line,) = of.lines(page(*written("311", step=40)).grey)
    assert text_of(line) == "311"


def test_ink_so_tall_that_the_detector_does_not_know_it_is_read():
    grey = page((60, 20, 4), size=(100, 150)).grey
    blind = finder(logit=-9.0)
    (line,) = blind.lines(grey, normalise(grey))
    assert text_of(line) == "4"
    assert blind.detector.looks > 0


def test_where_there_is_nothing_there_are_no_lines_but_the_whole_picture_was_looked_at():
    of = finder()
    assert of.lines(np.full((200, 300), 0.9, np.float32)) == []
    assert [shape[3] for shape in of.line_reader.shapes] == [pytest.approx(48 * 1.5, abs=4)]


def test_every_strip_gets_the_columns_that_it_gets_alone():
    rng = np.random.default_rng(0)
    grey = rng.random((300, 900), np.float32)
    places = [Place(10, 10, 10 + wide, 40, 30) for wide in (20, 700, 55, 300, 21, 800, 60)] * 4
    strips = [cut(grey, place) for place in places]

    class Sums:
        """Gives each column the sum of its pixels."""

        shapes = ()

        def run(self, names, inputs):
            strips = inputs["strips"]
            self.shapes = (*self.shapes, strips.shape)
            sums = strips.reshape(len(strips), 48, -1, 4).sum((1, 3))
            return [np.repeat(sums[:, :, np.newaxis], 22, 2)]

    sums = Sums()
    of = LineFinder(made_up.Detector(), sums, made_up.DigitNet(), Joint())
    together = of.columns(strips)
    assert 2 < len(sums.shapes) < len(strips)
    assert all(shape[3] % 4 == 0 for shape in sums.shapes)
    for strip, columns in zip(strips, together, strict=True):
        (alone,) = of.columns([strip])
        assert columns.shape == (strip.grey.shape[1] // 4, 22)
        assert columns == pytest.approx(alone, abs=1e-3)
    assert of.columns([]) == []


def test_reading_stops_wherever_it_is_when_its_caller_no_longer_waits():
    grey = page(*written("31479")).grey
    asked = 0

    def after(calls):
        def is_cancelled():
            nonlocal asked
            asked += 1
            return asked > calls

        return is_cancelled

    assert len(finder().lines(grey, is_cancelled=after(10**6))) == 1
    often, asked = asked, 0
    assert often >= 6  # between looks, batches of strips and of crops
    for calls in range(often):
        asked = 0
        with pytest.raises(CancelledError, match="no longer waits"):
            finder().lines(grey, is_cancelled=after(calls))


def test_a_voice_is_the_weighed_sum_of_which_digit_it_is_and_whether_it_is_one():
    joint = Joint(digit=0.7, exists=0.3, offset=-0.2)
    seen = np.array([0.5, 0.3, *[0.0125] * 8, 0.1], np.float32)
    voice = joint.voice(seen)
    odds = np.log(0.9 / 0.1)
    assert voice[0] == pytest.approx(0.7 * np.log(10 * 0.5 / 0.9) + 0.3 * odds - 0.2, rel=1e-5)
    assert voice[0] - voice[1] == pytest.approx(0.7 * np.log(0.5 / 0.3), rel=1e-5)
    assert np.isfinite(joint.voice(np.eye(11, dtype=np.float32)[10])).all()


def test_what_digitnet_has_not_seen_changes_nothing():
    in_place = eleven(4, 0.6, 0.1)
    assert Joint(offset=2.0).together(in_place, UNSEEN) == pytest.approx(in_place)


def test_both_networks_are_surer_together_than_one_and_less_sure_where_they_disagree():
    joint, in_place = Joint(), eleven(4, 0.8, 0.05)
    agreed, disputed = (joint.together(in_place, eleven(digit, 0.9).astype(np.float32)) for digit in (4, 9))
    assert agreed.sum() == pytest.approx(1)
    assert disputed[4] < in_place[4] < agreed[4]
    nothing_there = joint.together(in_place, eleven(4, 0.01, 0.9).astype(np.float32))
    assert nothing_there[10] > in_place[10] > agreed[10]


def test_where_both_name_a_digit_their_log_odds_are_added_and_where_they_do_not_they_are_not():
    joint, in_place = Joint(agreed=(0.6, 0.3, -0.2)), eleven(4, 0.8, 0.05)
    both = joint.together(in_place, eleven(4, 0.9).astype(np.float32))
    log_odds = 0.6 * np.log(0.8 / 0.2) + 0.3 * np.log(0.9 / 0.1) - 0.2
    assert both[4] == pytest.approx(1 / (1 + np.exp(-log_odds)))
    assert both.sum() == pytest.approx(1)
    sure = replace(joint, agreed=(9.0, 9.0, 9.0))
    disputed = eleven(9, 0.9).astype(np.float32)
    assert sure.together(in_place, disputed) == pytest.approx(joint.together(in_place, disputed))


def test_weights_survive_json_and_wrong_ones_are_refused():
    joint = Joint(digit=0.6, exists=0.1, offset=-0.5, agreed=(0.4, 0.3, 0.2))
    assert Joint.from_json(joint.to_json()) == joint
    for text in ("", "[1]", "{}", '{"digit": "x"}', joint.to_json().replace("offset", "offsets")):
        with pytest.raises((ValueError, TypeError, KeyError)):
            Joint.from_json(text)


def test_a_digit_is_agreed_only_where_each_network_alone_would_name_it():
    grey = page(*written("34")).grey
    (line,) = finder(digitnet={4: {9: 0.99}}).lines(grey)
    assert text_of(line) == "34"
    assert [digit.is_agreed for digit in line.digits] == [True, False]
    assert line.digits[1].seen.argmax() == 9


def test_a_users_own_model_names_the_digits_and_the_line_reader_says_whether_they_are_there():
    grey = page(*written("34")).grey
    (line,) = finder({4: {4: 0.9}}, digitnet={4: {9: 0.99}}, names_alone=True).lines(grey)
    assert text_of(line) == "39"
    assert line.digits[1].exists == pytest.approx(0.9, abs=1e-3)


def test_a_digitnet_that_was_taught_shares_the_other_networks_and_a_lesson_that_changes_a_digit_names_it():
    grey, one = page(*written("34")).grey, finder()
    taught = one.with_lesson(made_up.DigitNet({4: {9: 0.999}}), made_up.DigitNet())
    assert taught.line_reader is one.line_reader
    assert text_of(one.lines(grey)[0]) == "34"
    (line,) = taught.lines(grey)
    assert text_of(line) == "39"
    assert line.digits[1].is_agreed


def test_a_lesson_that_changes_nothing_has_no_word():
    grey, same = page(*written("34")).grey, made_up.DigitNet({4: {9: 0.999}})
    (line,) = finder().with_lesson(same, same).lines(grey)
    assert text_of(line) == "34"
    assert not line.digits[1].is_agreed


def test_a_digit_is_answered_by_the_risk_of_both_and_of_a_users_model_as_well():
    of_both, own = finder(threshold=0.7), finder(threshold=0.7, names_alone=True)
    assert of_both.rejection(Rejection(0.9)) == Rejection(0.7)
    assert own.rejection(Rejection(0.9)) == Rejection(0.9)
    assert own.rejection(Rejection(0.1)) == Rejection(0.7)
    always = LineFinder(None, None, None, Joint(), risks=(Risk(0.7, 0.0),), max_error=None)
    assert always.rejection(Rejection(0.0)).never


def test_of_the_crops_of_a_digit_the_one_counts_that_shows_most_of_what_stands_there():
    seen = np.stack([eleven(0, 0.9), eleven(4, 0.6), eleven(9, 0.95)])
    assert best_shown(eleven(4), seen) == (1, False)
    assert best_shown(eleven(0), seen) == (0, False)
    assert best_shown(eleven(4), seen, (0, 4, 9)) == (1, False)


def test_a_crop_in_which_a_lesson_has_changed_the_digit_counts_most():
    seen = np.stack([eleven(0, 0.9), eleven(4, 0.6), eleven(9, 0.95)])
    assert best_shown(eleven(4), seen, (0, 4, 7)) == (2, True)
    to_none = np.stack([eleven(0, 0.9), eleven(4, 0.05, 0.9)])
    assert best_shown(eleven(4), to_none, (0, 4)) == (1, False)


def test_a_constraint_reads_the_line_anew_and_keeps_what_stood_there_without_it():
    grey = page(*written("314")).grey
    doubts = {4: {4: 0.5, 9: 0.45}}
    (line,) = finder(doubts).lines(grey, constraint=constrained(pattern=r"\d\d9"))
    assert text_of(line) == "319"
    assert "".join(str(digit.digit) for digit in line.free) == "314"
    assert line.digits[2].edges == line.free[2].edges
    assert line.digits[2].crop is not None
    assert line.digits[2].confidence > 0.99


def test_digitnets_voice_counts_under_a_constraint_too():
    grey = page(*written("314")).grey
    doubts, known = {4: {4: 0.4, 9: 0.35, 7: 0.24}}, constrained(pattern=r"\d\d[79]")
    joint = Joint(digit=1.0, exists=0.0, offset=0.0)
    for seen in (7, 9):
        (line,) = finder(doubts, digitnet={4: {seen: 0.99}}, joint=joint).lines(grey, constraint=known)
        assert text_of(line) == f"31{seen}"


def test_where_no_reading_is_allowed_the_line_says_so_and_keeps_its_digits():
    (line,) = finder().lines(page(*written("314")).grey, constraint=constrained(length=60))
    assert not line.is_allowed
    assert text_of(line) == "314"


def test_of_two_lines_on_the_same_ink_the_better_one_is_kept():
    better, worse = row_of("314"), line_of(digit_at(1, share=0.6, none=0.3), digit_at(26, share=0.6, none=0.3))
    assert [text_of(line) for line in without_duplicates([worse, better])] == ["314"]


def test_a_line_keeps_those_digits_that_no_better_line_has():
    long, short = row_of("31415"), line_of(digit_at(100, digit=5, share=0.8), digit_at(200, digit=7, share=0.8))
    kept = without_duplicates([short, long])
    assert sorted(text_of(line) for line in kept) == ["31415", "7"]


def test_digits_that_are_likely_none_are_left_out_and_a_line_without_a_likely_one_is_none():
    unlikely, doubtful = digit_at(50, share=0.1, none=0.85), digit_at(75, share=0.4, none=0.55)
    (line,) = without_duplicates([line_of(digit_at(0), unlikely, doubtful)])
    assert line.digits == (line.digits[0], doubtful)
    assert without_duplicates([line_of(doubtful)]) == []
    assert without_duplicates([line_of()]) == []
    assert without_duplicates([]) == []


def test_lines_beside_each_other_come_from_left_to_right():
    rows = [row_of("78", x=300, y=6), row_of("12", y=0), row_of("56", x=10, y=80), row_of("34", x=150, y=-4)]
    assert [text_of(line) for line in in_reading_order(rows)] == ["12", "34", "78", "56"]
    assert in_reading_order([]) == []


def test_memory_grows_with_the_digits_and_not_with_their_square():
    def peak(side):
        rows = [row_of("3" * side, y=40 * row) for row in range(side)]
        tracemalloc.start()
        assert len(in_reading_order(without_duplicates(rows))) == side
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    assert peak(44) < 12 * peak(22)


def test_another_network_is_neither_a_detector_nor_a_line_reader():
    detector, line_reader, digitnet = (
        (path.read_bytes(), path.name) for path in (PACKAGED_DETECTOR, PACKAGED_LINE_READER, PACKAGED_MODEL)
    )
    with pytest.raises(ModelError, match=r"digitnet\.onnx: not a detector.*digitnet export detector\.pth"):
        LineFinder.from_onnx(digitnet, line_reader, None)
    with pytest.raises(ModelError, match=r"detector\.onnx: not a line reader.*digitnet export line-reader\.pth"):
        LineFinder.from_onnx(detector, detector, None)


def test_a_network_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr("digitnet.reading.lines.CONTRAST_VERSION", 99)
    files = [(path.read_bytes(), path.name) for path in (PACKAGED_DETECTOR, PACKAGED_LINE_READER)]
    with pytest.raises(ModelError, match=r"detector\.onnx: made for another version of DigitNet"):
        LineFinder.from_onnx(*files, None)


@pytest.mark.parametrize("text", ["{}", '{"power": 1.0, "digit": 0.5, "exists": 0.1, "offset": 0.0}'])
def test_a_line_reader_with_weights_of_another_version_is_refused_by_name(monkeypatch, text):
    parse = Joint.from_json
    monkeypatch.setattr(Joint, "from_json", lambda _: parse(text))
    files = [(path.read_bytes(), path.name) for path in (PACKAGED_DETECTOR, PACKAGED_LINE_READER)]
    with pytest.raises(ModelError, match=r"line-reader\.onnx"):
        LineFinder.from_onnx(*files, None)


def test_the_packaged_line_reader_carries_how_it_is_weighed():
    import onnxruntime

    metadata = onnxruntime.InferenceSession(PACKAGED_LINE_READER).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["digitnet.joint"]).keys() == asdict(Joint()).keys()
    assert json.loads(metadata["digitnet.risks"])
