import numpy as np
import pytest

from digitnet import Reader
from digitnet.inference.cascade import SURE, Cascade, together
from digitnet.inference.onnx_models import LARGE_MODEL, PACKAGED_MODEL, OnnxDigitNet


def eleven(best, probability):
    """Probabilities (1, 11) of one image, the rest shared equally."""
    probabilities = np.full((1, 11), (1 - probability) / 10, np.float32)
    probabilities[0, best] = probability
    return probabilities


@pytest.fixture(scope="module")
def networks():
    return [OnnxDigitNet(path.read_bytes(), path.name) for path in (PACKAGED_MODEL, LARGE_MODEL)]


@pytest.fixture(scope="module")
def hard(mnist_digits, networks):
    """Digits between two others, of which the network is unsure, and one that it is sure of."""
    images = mnist_digits[0]
    between = (images[:40] + images[40:80]) / 2
    unsure = between[networks[0].probabilities(between).max(1) < SURE]
    assert len(unsure) >= 10
    return np.concatenate([images[:1], unsure])


def test_the_larger_network_counts_where_the_first_is_unsure():
    unsure, sure = eleven(3, 0.6), eleven(5, 0.99)
    assert together(unsure, unsure, sure).argmax() == 5
    assert together(unsure, unsure, eleven(3, 0.99)).max() > 0.6


def test_the_larger_network_counts_for_nothing_where_the_first_is_sure():
    sure = eleven(3, 0.96)
    assert np.array_equal(together(sure, sure, eleven(5, 0.999)), sure)


def test_the_larger_network_does_not_undo_a_lesson():
    taught = eleven(2, 0.6)
    assert np.array_equal(together(taught, eleven(5, 0.9), eleven(5, 0.999)), taught)


def test_both_networks_together_are_the_mean_of_their_log_probabilities():
    both = together(eleven(3, 0.5), eleven(3, 0.5), eleven(4, 0.7))
    expected = np.exp((np.log(eleven(3, 0.5)) + np.log(eleven(4, 0.7))) / 2)
    assert both == pytest.approx(expected / expected.sum(), abs=1e-6)
    assert both.sum() == pytest.approx(1)


def test_only_hard_images_reach_the_larger_network(networks, hard):
    first, larger = networks
    found = Cascade(first, lambda: larger).probabilities(hard)
    alone = first.probabilities(hard)
    assert np.array_equal(found[0], alone[0])
    assert found[1:] == pytest.approx(together(alone, alone, larger.probabilities(hard))[1:], abs=1e-5)
    assert np.abs(found[1:] - alone[1:]).max() > 0.1


def test_without_hard_images_the_larger_network_is_not_even_loaded(networks, mnist_digits):
    images = mnist_digits[0]
    sure = images[networks[0].probabilities(images).max(1) >= SURE]

    def load():
        raise AssertionError("loaded")

    assert len(Cascade(networks[0], load).probabilities(sure)) == len(sure) > 100


def test_images_beyond_one_batch_keep_their_order(networks, mnist_digits):
    images = np.concatenate([mnist_digits[0]] * 2)
    found = Cascade(networks[0], lambda: networks[1]).probabilities(images)
    assert (found[:200].argmax(1) == mnist_digits[1]).mean() > 0.98
    assert found[:200] == pytest.approx(found[200:], abs=1e-5)


def test_no_images_are_no_probabilities(networks):
    assert Cascade(networks[0], None).probabilities(np.empty((0, 28, 28), np.float32)).shape == (0, 11)


def test_the_package_s_model_has_the_larger_one_beside_it_and_others_have_not(reader, hard, networks):
    alone = networks[0].probabilities(hard)[1:, :10].max(1)
    usual, of_large, own = (
        np.array([digit.confidence for digit in of.predict_normalised(hard)[1:]])
        for of in (reader, Reader("large"), Reader(LARGE_MODEL))
    )
    assert np.abs(usual - alone).max() > 0.1
    assert of_large == pytest.approx(networks[1].probabilities(hard)[1:, :10].max(1), abs=1e-5)
    assert own == pytest.approx(of_large)


def test_who_answers_is_told(reader):
    assert "large" in reader.about["larger"]
    assert set(reader.checksums) == {"model", "detector", "larger"}
    assert set(Reader("large").checksums) == {"model", "detector"}
    assert "larger" not in Reader("large").about
