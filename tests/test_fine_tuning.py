from dataclasses import replace

import numpy as np
import pytest
from helpers import ROOT

from digitnet import cli, fine_tuning
from digitnet.errors import UsageError
from digitnet.fine_tuning import deep_lesson
from digitnet.teaching.pupil import RIGHT, WRONG, Pupil
from digitnet.training import export
from digitnet.training.calibration import Calibration

WEIGHTS = ROOT / "models" / "best.pth"  # of the packaged model


def names(pictures):
    return [str(number) for number in range(len(pictures))]


def taught_by(pictures, labels, reader):
    """What one training makes of pictures."""
    sights = [reader.sight(picture) for picture in pictures]
    return fine_tuning._taught(WEIGHTS, Pupil(reader.digit_reader, sights, labels), reader.max_error, None)


def test_all_weights_learn_a_hand_and_give_a_whole_model(reader, odd_hand, mnist_digits, monkeypatch):
    network = reader.digit_reader.network
    scales = [float(network.metadata[name]) for name in ("temperature", "slope", "offset")]
    monkeypatch.setattr(export, "calibrate", lambda *_: Calibration(*scales, network.risks))
    monkeypatch.setattr(fine_tuning, "REPLAYED", 768)  # few and large steps
    monkeypatch.setattr(fine_tuning, "RECIPE", replace(fine_tuning.RECIPE, peak_learning_rate=3e-3, stroke_digits=0.0))
    pictures, labels = odd_hand
    mine = taught_by(pictures, labels, reader)
    before, after = ([digit.best_guess for digit in of.predict_many(pictures)] for of in (reader, mine))
    assert np.sum(np.array(after) == labels) >= np.sum(np.array(before) == labels) + 5
    assert mine.digit_reader.network.adaptation is None
    read = [digit.best_guess for digit in mine.predict_normalised(mnist_digits[0])]
    assert np.mean(np.array(read) == mnist_digits[1]) > 0.9  # forgets little, though the steps are large


def test_a_network_that_reads_the_hand_better_is_kept(reader, odd_hand, monkeypatch):
    learnt = reader.taught(reader.teach(*odd_hand))
    trained = []
    monkeypatch.setattr(fine_tuning, "_taught", lambda weights, pupil, *_: trained.append(pupil.labels) or learnt)
    lesson = deep_lesson(reader, WEIGHTS, *odd_hand, names(odd_hand[0]))
    assert lesson.model == learnt.digit_reader.network.content
    assert lesson.after.right >= lesson.before.right + 5
    assert [len(labels) for labels in trained[:2]] == [(len(trained[2]) + 1) // 2, len(trained[2]) // 2]


def test_a_network_that_reads_other_hands_worse_is_not_kept(reader, odd_hand, monkeypatch):
    learnt = reader.taught(reader.teach(*odd_hand))
    monkeypatch.setattr(fine_tuning, "_taught", lambda *_: learnt)
    monkeypatch.setattr(fine_tuning, "_guard_levels", lambda of: np.full(100, RIGHT if of is reader else WRONG))
    lesson = deep_lesson(reader, WEIGHTS, *odd_hand, names(odd_hand[0]))
    assert not lesson.is_kept
    assert "other hands would be read worse" in lesson.reason


def test_a_network_that_has_learnt_nothing_is_not_kept_and_the_last_training_is_spared(reader, odd_hand, monkeypatch):
    trained = []
    monkeypatch.setattr(fine_tuning, "_taught", lambda weights, pupil, *_: trained.append(pupil.labels) or reader)
    lesson = deep_lesson(reader, WEIGHTS, *odd_hand, names(odd_hand[0]))
    assert not lesson.is_kept
    assert "no gain beyond chance" in lesson.reason
    assert len(trained) == 2
    assert sum(map(len, trained)) == len(odd_hand[0]) - len(lesson.contradictions)  # each was learnt once, judged once


def test_a_hand_that_is_read_right_starts_no_training(reader, mnist_digits, picture, monkeypatch):
    monkeypatch.delattr(fine_tuning, "_taught")
    pictures = [picture(image) for image in mnist_digits[0][:30]]
    read = [digit.digit for digit in reader.predict_many(pictures)]
    usual = [one for one, digit, label in zip(pictures, read, mnist_digits[1], strict=False) if digit == label][:20]
    labels = [digit for digit, label in zip(read, mnist_digits[1], strict=False) if digit == label][:20]
    assert deep_lesson(reader, WEIGHTS, usual, labels, names(usual)).reason.startswith("nothing to learn: all 20")


def test_too_few_pictures_are_refused_and_so_are_blank_ones(reader, odd_hand):
    pictures, labels = [*odd_hand[0][:10], *[np.full((30, 30), 255, np.uint8)] * 20], [*odd_hand[1][:10], *[3] * 20]
    with pytest.raises(UsageError, match="are too few for a deep lesson"):
        deep_lesson(reader, WEIGHTS, pictures, labels, names(pictures))


@pytest.mark.parametrize("model", [["--model", "mine.onnx"], []])
def test_a_deep_lesson_needs_weights(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "BEST_WEIGHTS", tmp_path / "missing.pth")
    assert cli.main(["teach", str(tmp_path), "--deep", *model, "--output", str(tmp_path / "new.onnx")]) == 2
    assert "give --model model.pth" in capsys.readouterr().err
