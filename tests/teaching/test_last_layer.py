import numpy as np
import pytest

from digitnet.teaching.evidence import Evidence
from digitnet.teaching.last_layer import LastLayer, Prior


@pytest.fixture
def layer():
    rng = np.random.default_rng(0)
    digits, replay = (
        Evidence(None, np.zeros((count, 10), np.float32), rng.random((count, 50)).astype(np.float32))
        for count in (30, 40)
    )
    labels = np.arange(30) % 3
    return LastLayer(digits, labels, Prior(replay.features)), digits, labels, replay


def test_a_shift_reads_what_it_was_fitted_on(layer):
    fitted, digits, labels, _ = layer
    shift = fitted.shift(np.ones(30, np.float32))
    assert ((digits.features @ shift[:-1] + shift[-1]).argmax(1) == labels).mean() >= 0.9


def test_nothing_is_shifted_without_pictures(layer):
    assert not layer[0].shift(np.zeros(30, np.float32)).any()


def test_what_counts_for_nothing_does_not_change_the_shift(layer):
    fitted, digits, labels, replay = layer
    weights = (np.arange(30) < 15).astype(np.float32)
    changed = np.where(weights > 0, labels, 9)
    assert np.allclose(fitted.shift(weights), LastLayer(digits, changed, Prior(replay.features)).shift(weights))


def test_replay_pictures_change_less_than_the_digits(layer):
    fitted, digits, _, replay = layer
    shift = fitted.shift(np.ones(30, np.float32))
    change = [np.square(of.features @ shift[:-1] + shift[-1]).mean() for of in (digits, replay)]
    assert change[1] < change[0] / 2
