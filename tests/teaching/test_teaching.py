import csv
import pickle

import numpy as np
import pytest
from PIL import Image

from digitnet import Reader
from digitnet.cli import main
from digitnet.errors import ModelError, UsageError
from digitnet.inference.onnx_models import PACKAGED_MODEL


@pytest.fixture(scope="module")
def mirrored_fours(mnist_digits):
    """A hand that writes its 4s mirrored: the package's model reads most of them wrong."""
    images, labels = mnist_digits
    grey = (255 * (1 - images[labels == 4])).astype(np.uint8)
    return [np.pad(picture[:, ::-1], 20, constant_values=255) for picture in grey]


@pytest.fixture(scope="module")
def lesson(reader, mirrored_fours):
    return reader.teach(mirrored_fours, [4] * len(mirrored_fours))


def wrong(reader, pictures, label=4):
    return sum(digit.best_guess != label for digit in reader.predict_many(pictures))


def test_a_hand_is_learnt_and_other_hands_are_kept(reader, lesson, mirrored_fours):
    assert lesson.is_kept
    assert lesson.after.right > lesson.before.right + 10
    assert lesson.guard_after.right >= lesson.guard_before.right - 2
    taught = reader.taught(lesson)
    assert wrong(taught, mirrored_fours) < wrong(reader, mirrored_fours) - 10
    assert taught.about["taught"] == f"{len(mirrored_fours)} pictures"


def test_what_is_read_right_already_teaches_nothing(reader, mnist_digits):
    images, labels = mnist_digits
    right = [index for index, digit in enumerate(reader.predict_many(images[:20])) if digit.digit == labels[index]]
    lesson = reader.teach([images[index] for index in right], [int(labels[index]) for index in right])
    assert not lesson.is_kept
    assert lesson.reason.startswith("nothing to learn")
    assert reader.taught(lesson) is reader


def test_labels_that_all_others_contradict_are_named(reader, mnist_digits, mirrored_fours):
    images, labels = mnist_digits
    ones = list(images[labels == 1])[:6]
    pictures = [*mirrored_fours, *ones, ones[0]]
    wanted = [4] * len(mirrored_fours) + [1] * len(ones) + [4]
    lesson = reader.teach(pictures, wanted, names=map(str, range(len(pictures))))
    assert str(len(pictures) - 1) in {contradiction.name for contradiction in lesson.contradictions}


def test_a_taught_model_is_a_file_that_is_read_like_any_other(lesson, mirrored_fours, tmp_path):
    file = tmp_path / "mine.onnx"
    file.write_bytes(lesson.model)
    taught = Reader(file)
    assert wrong(taught, mirrored_fours) == wrong(pickle.loads(pickle.dumps(taught)), mirrored_fours)
    page = np.concatenate(mirrored_fours[:1], axis=1)
    assert taught.read(page).digits[0].best_guess == 4
    file.write_bytes(lesson.model[:-100])
    with pytest.raises(ModelError, match=r"mine\.onnx"):
        Reader(file)


def test_teach_writes_the_model_and_says_what_changed(mirrored_fours, tmp_path, capsys):
    folder, output = tmp_path / "mine", tmp_path / "mine.onnx"
    folder.mkdir()
    rows = [("file", "label")]
    for index, picture in enumerate(mirrored_fours):
        Image.fromarray(picture).save(folder / f"{index}.png")
        rows.append((f"{index}.png", "4"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    packaged = PACKAGED_MODEL.read_bytes()
    assert main(["teach", str(folder), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "before" in printed
    assert "after" in printed
    assert "guard" in printed
    assert main(["predict", "--model", str(output), str(folder)]) == 0
    assert PACKAGED_MODEL.read_bytes() == packaged


def test_a_lesson_that_proves_nothing_writes_no_file(tmp_path, mnist_digits, capsys):
    images, labels = mnist_digits
    folder, output = tmp_path / "mine", tmp_path / "mine.onnx"
    folder.mkdir()
    Image.fromarray((255 * images[0]).astype(np.uint8)).save(folder / "0.png")
    (folder / "labels.csv").write_text(f"file,label\n0.png,{labels[0]}\n")
    assert main(["teach", str(folder), "--output", str(output)]) != 0
    assert not output.exists()
    assert "nothing to learn" in capsys.readouterr().err


def test_what_cannot_be_taught_is_refused_by_name(reader, mirrored_fours, tmp_path, capsys):
    with pytest.raises(UsageError, match="at least one"):
        reader.teach([], [])
    with pytest.raises(UsageError, match="12"):
        reader.teach(mirrored_fours[:1], [12])
    (tmp_path / "empty").mkdir()
    assert main(["teach", str(tmp_path / "empty"), "--output", str(tmp_path / "a.onnx")]) != 0
    assert "labels.csv" in capsys.readouterr().err
    assert main(["teach", str(tmp_path / "empty"), "--output", str(tmp_path / "a.pth")]) != 0
    assert ".onnx" in capsys.readouterr().err
