import csv

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from digitnet import Reader
from digitnet.errors import ImageError, UsageError
from digitnet.evaluation import labelled
from digitnet.evaluation.metrics import compute_metrics
from digitnet.inference.rejection import NOT_A_DIGIT


@pytest.fixture(scope="module")
def always():
    return Reader(max_error=None)


def folder(tmp_path, rows, header=("file", "label")):
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return tmp_path


def test_the_samples_are_a_labelled_folder_and_are_read(always):
    answers = labelled.folder(always, ROOT / "samples")
    assert compute_metrics(answers).accuracy.fraction == 1
    assert answers.name == "samples"
    assert len(answers.files) == len(answers.images) == 13
    assert answers.images[0].shape == (28, 28)


def test_any_label_but_a_digit_says_that_there_is_none(tmp_path, always):
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(tmp_path / "a.png")
    rows = [("a.png", label) for label in ("3", "x", "", "10", "greek_letter")]
    answers = labelled.folder(always, folder(tmp_path, rows))
    assert answers.labels == [3, *[NOT_A_DIGIT] * 4]


def test_the_mnist_test_set_is_read_as_it_is(always):
    answers = labelled.mnist_test_set(always)
    assert len(answers.labels) == 10_000
    assert compute_metrics(answers).accuracy.fraction > 0.99


def test_a_folder_without_a_table_or_columns_or_with_a_missing_picture_is_named(tmp_path, always):
    with pytest.raises(UsageError, match=r"labels\.csv: cannot be read"):
        labelled.folder(always, tmp_path)
    with pytest.raises(UsageError, match="no columns"):
        labelled.folder(always, folder(tmp_path, [("a.png", "3")], header=("picture", "digit")))
    with pytest.raises(ImageError, match=r"missing\.png"):
        labelled.folder(always, folder(tmp_path, [("missing.png", "3")]))
