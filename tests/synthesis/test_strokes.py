import numpy as np
import pytest

from digitnet.reading.ink import STRONG
from digitnet.synthesis import strokes
from digitnet.synthesis.strokes import digits_of, stroke_digits
from digitnet.synthesis.variants import variants


@pytest.fixture(scope="module")
def digits():
    return stroke_digits(2000, 1)


def test_the_same_seed_makes_the_same_digits_and_another_one_others(digits):
    images, labels, indices = stroke_digits(600, 1)
    np.testing.assert_array_equal(images, digits[0][:500].tolist() + images[500:].tolist())
    np.testing.assert_array_equal(indices[:500], digits[2][:500])
    assert (stroke_digits(50, 2)[0] != images[:50]).any()
    assert labels.tolist() == [index % 10 for index in range(600)]


def test_the_number_of_workers_changes_nothing(monkeypatch):
    monkeypatch.setattr(strokes, "CHUNK", 20)  # the parent cuts the work, so the children need not know
    alone, shared = stroke_digits(50, 3), stroke_digits(50, 3, workers=2)
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_digits_are_empty_arrays():
    images, labels, indices = stroke_digits(0, 1)
    assert images.shape == (0, 28, 28)
    assert len(labels) == len(indices) == 0


def test_all_digits_are_equally_often_and_most_variants_occur(digits):
    _, labels, indices = digits
    assert np.bincount(labels).tolist() == [200] * 10
    assert [variants()[index].label for index in indices] == labels.tolist()
    assert len(set(indices.tolist())) > 0.9 * len(variants())


def test_images_look_as_mnist_holds_digits(digits):
    images, _, _ = digits
    assert images.dtype == np.uint8
    assert (images.max((1, 2)) > 250).all()
    rows, columns = (images > 0).any(2).sum(1), (images > 0).any(1).sum(1)
    assert (np.maximum(rows, columns) <= 20).all()
    covered = (images > 127).mean((1, 2))
    assert covered.min() > 0.005
    assert covered.max() < 0.4
    assert 0.08 < covered.mean() < 0.2  # MNIST's own is 0.13


def test_digits_on_paper_are_cropped_ink_of_their_variant():
    drawn = list(digits_of(5, 40))
    assert [digit.variant.label for digit in drawn] == list(range(10)) * 4
    for digit in drawn:
        assert digit.ink.dtype == np.float32
        assert 0 <= digit.ink.min() <= digit.ink.max() <= 1
        assert (digit.ink > STRONG).any()
