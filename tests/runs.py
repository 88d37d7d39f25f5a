"""Training runs for the tests: some batches of one, and whether two have the same state."""

import pytest
import small_main
import torch

from digitnet import dataset
from digitnet.train import train


class Stop(Exception):
    pass


def advance(run, batches):
    """Trains `run` on for some batches, over as many epochs as that takes."""
    loader, _ = dataset.get_data_loaders(batch_size=small_main.TRAINING // 6)
    left = batches

    def count():
        nonlocal left
        left -= 1
        if left == 0:
            raise Stop

    with pytest.raises(Stop):
        train(run.model, loader, "cpu", epochs=100, run=run, on_batch=count)


def flattened(state, path=""):
    if isinstance(state, dict):
        for key, value in state.items():
            yield from flattened(value, f"{path}/{key}")
    elif isinstance(state, (list, tuple)):
        for number, value in enumerate(state):
            yield from flattened(value, f"{path}/{number}")
    else:
        yield path, state


def assert_same_bits(one, other):
    one, other = dict(flattened(one)), dict(flattened(other))
    assert one.keys() == other.keys()
    for path, value in one.items():
        same = torch.equal(value, other[path]) if isinstance(value, torch.Tensor) else value == other[path]
        assert same, path
