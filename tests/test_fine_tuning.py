import numpy as np
import pytest
from helpers import ROOT

from digitnet import Reader, cli, fine_tuning
from digitnet.fine_tuning import deep_lesson
from digitnet.training import export, negatives
from digitnet.training.calibration import Calibration

WEIGHTS = ROOT / "models" / "best.pth"  # of the packaged model


@pytest.fixture
def small(monkeypatch, reader):
    """Few images to replay, and the calibration of the packaged model."""
    monkeypatch.setattr(fine_tuning, "REPLAYED", 1536)
    monkeypatch.setattr(negatives, "STROKE_DIGITS", 200)
    monkeypatch.setattr(negatives, "STROKE_LETTERS", 60)
    negatives._strokes_on.cache_clear()
    network = reader.digit_reader.network
    scales = (float(network.metadata[name]) for name in ("temperature", "slope", "offset"))
    monkeypatch.setattr(export, "calibrate", lambda *_: Calibration(*scales_kept, network.risks))
    scales_kept = tuple(scales)
    yield
    negatives._strokes_on.cache_clear()


def names(pictures):
    return [str(number) for number in range(len(pictures))]


def test_a_deep_lesson_gives_a_whole_model_that_reads_the_hand_better(small, reader, odd_hand, mnist_digits, tmp_path):
    pictures, labels = odd_hand
    lesson = deep_lesson(reader, WEIGHTS, pictures, labels, names(pictures))
    assert lesson.is_kept, lesson.reason
    assert lesson.after.right >= lesson.before.right + 5
    (tmp_path / "mine.onnx").write_bytes(lesson.model)
    mine = Reader(tmp_path / "mine.onnx")
    assert "taught" not in mine.about
    before, after = ([digit.best_guess for digit in of.predict_many(pictures)] for of in (reader, mine))
    assert np.sum(np.array(after) == labels) >= np.sum(np.array(before) == labels) + 5
    read = [digit.best_guess for digit in mine.predict_normalised(mnist_digits[0])]
    assert np.mean(np.array(read) == mnist_digits[1]) > 0.98
    assert mine.teach(pictures, labels).pictures == len(labels)  # a lesson of the last layer can follow


def test_a_network_that_has_learnt_nothing_is_not_kept_and_the_last_training_is_spared(reader, odd_hand, monkeypatch):
    trained = []
    monkeypatch.setattr(fine_tuning, "_taught", lambda weights, pupil, *_: trained.append(pupil.labels) or reader)
    lesson = deep_lesson(reader, WEIGHTS, *odd_hand, names(odd_hand[0]))
    assert not lesson.is_kept
    assert "no gain beyond chance" in lesson.reason
    assert len(trained) == 2
    assert sorted(np.concatenate(trained)) == sorted(odd_hand[1])  # each picture was learnt once and judged once


def test_a_hand_that_is_read_right_starts_no_training(reader, mnist_digits, picture, monkeypatch):
    monkeypatch.delattr(fine_tuning, "_taught")
    zeros = [picture(image) for image in mnist_digits[0][mnist_digits[1] == 0][:5]]
    assert deep_lesson(reader, WEIGHTS, zeros, [0] * 5, names(zeros)).reason == "nothing to learn: all 5 are read right"


@pytest.mark.parametrize("model", [["--model", "mine.onnx"], []])
def test_a_deep_lesson_needs_weights(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "BEST_WEIGHTS", tmp_path / "missing.pth")
    assert cli.main(["teach", str(tmp_path), "--deep", *model, "--output", str(tmp_path / "new.onnx")]) == 2
    assert "give --model model.pth" in capsys.readouterr().err
