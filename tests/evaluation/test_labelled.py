import csv

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from digitnet import Reader
from digitnet.errors import ImageError, UsageError
from digitnet.evaluation import labelled
from digitnet.evaluation.metrics import compute_metrics
from digitnet.evaluation.page_metrics import LabelledPages
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.results import Digit


@pytest.fixture(scope="module")
def always():
    return Reader(max_error=None)


def folder(tmp_path, rows, header=("file", "label")):
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return tmp_path


def test_the_samples_are_a_labelled_folder_and_are_read(always):
    predictions = labelled.folder(always, ROOT / "samples")
    assert compute_metrics(predictions).accuracy.fraction == 1
    assert (predictions.name, predictions.unreadable) == ("samples", 0)
    assert len(predictions.files) == len(predictions.images) == 13
    assert predictions.images[0].shape == (28, 28)


def test_the_sample_pages_are_labelled_pages_and_are_read(always):
    pages = labelled.folder(always, ROOT / "sample_pages")
    assert isinstance(pages, LabelledPages)
    assert pages.files[1:3] == ["sums.jpg", "amount.jpg"]
    assert pages.labels[1] == "128\n4096\n57\n4281"
    assert pages.best_guesses[1] == pages.labels[1]


@pytest.mark.parametrize("word", ["none", "None", "greek_letter", "math symbol", "one eye", "Buchstabe", "λόγος"])
def test_a_word_says_that_there_is_no_digit(tmp_path, word):
    assert labelled.labels(folder(tmp_path, [("a.png", word), ("b.png", "3")])) == [
        ("a.png", NOT_A_DIGIT),
        ("b.png", 3),
    ]


def test_blanks_around_names_labels_and_columns_do_not_count(tmp_path):
    (tmp_path / "labels.csv").write_text('file, label , kind\na.png, 7,x\n b.png ,3 ,\n"c.png", "0"\n')
    assert labelled.labels(tmp_path) == [("a.png", 7), ("b.png", 3), ("c.png", 0)]


@pytest.mark.parametrize("label", ["", "12", "7.", "-1", "?", "x", "7 or 1", "٣", "²"])
def test_any_other_label_is_refused_with_its_place(tmp_path, label):
    rows = [("a.png", "3"), ("b.png", label)]
    with pytest.raises(UsageError) as caught:
        labelled.labels(folder(tmp_path, rows))
    assert str(caught.value).startswith(f"{tmp_path / 'labels.csv'}, line 3: b.png has the label {label!r}; give one")


@pytest.mark.parametrize("word", ["zero", "Seven", "six seven"])
@pytest.mark.parametrize("kind", ["label", "text"])
def test_a_digit_written_as_a_word_is_refused_and_does_not_mean_that_there_is_none(tmp_path, word, kind):
    with pytest.raises(UsageError, match=rf"line 2: a\.png has the {kind} '{word}'; give"):
        labelled.labels(folder(tmp_path, [("a.png", word)], ("file", kind)))


@pytest.mark.parametrize("row", ["a.png", ",3", "a.png,3,4", ","])
def test_a_row_with_a_missing_or_surplus_cell_is_refused_with_its_place(tmp_path, row):
    (tmp_path / "labels.csv").write_text(f"file,label\nfirst.png,1\n{row}\n")
    with pytest.raises(UsageError, match=r"labels\.csv, line 3: found \['.*; give a file, its label"):
        labelled.labels(tmp_path)


def test_texts_of_pages_are_digits_with_blanks_and_line_breaks_or_a_word(tmp_path):
    rows = [("a.png", "12 3\n45"), ("b.png", ""), ("c.png", "none"), ("d.png", "007")]
    expected = [("a.png", "12 3\n45"), ("b.png", ""), ("c.png", ""), ("d.png", "007")]
    assert labelled.labels(folder(tmp_path, rows, ("file", "text"))) == expected


@pytest.mark.parametrize("text", ["12-34", "1?", "x", "12 none"])
def test_any_other_text_of_a_page_is_refused_with_its_place(tmp_path, text):
    with pytest.raises(UsageError, match=r"line 2: a\.png has the text .*; give the digits of the page"):
        labelled.labels(folder(tmp_path, [("a.png", text)], ("file", "text")))


def test_pictures_that_cannot_be_read_are_told_left_out_and_counted(tmp_path, always):
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(tmp_path / "blank.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    rows = [("broken.png", "3"), ("blank.png", "4"), ("missing.png", "5")]
    told = []
    predictions = labelled.folder(always, folder(tmp_path, rows), told.append)
    assert (predictions.files, predictions.labels, predictions.unreadable) == (["blank.png"], [4], 2)
    assert [name in str(error) for name, error in zip(("broken.png", "missing.png"), told, strict=True)] == [True, True]
    assert compute_metrics(predictions).unreadable == 2

    pages = labelled.folder(always, folder(tmp_path, rows, ("file", "text")), told.append)
    assert (pages.files, pages.labels, pages.unreadable) == (["blank.png"], ["4"], 2)

    with pytest.raises(ImageError, match=r"broken\.png"):
        labelled.folder(always, tmp_path)


def test_the_mnist_test_set_is_read_as_it_is(always):
    class Few:
        """Reads the first 300 images only, for speed."""

        def predict_normalised(self, images):
            assert (images.shape, images.dtype) == ((10_000, 28, 28), np.float32)
            blank = Digit(None, 0.0, "blank", None, (0.1,) * 10)
            return always.predict_normalised(images[:300]) + [blank] * 9_700

    predictions = labelled.mnist_test_set(Few())
    assert len(predictions.labels) == len(predictions.images) == 10_000
    assert compute_metrics(predictions).accuracy.count > 295


def test_a_folder_without_a_table_or_columns_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"labels\.csv: cannot be read"):
        labelled.labels(tmp_path)
    for content in ("", "picture,digit\na.png,3\n", "file;label\na.png;3\n", "file,label\n"):
        (tmp_path / "labels.csv").write_text(content)
        with pytest.raises(UsageError, match=r"labels\.csv: no columns"):
            labelled.labels(tmp_path)
