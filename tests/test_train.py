import copy

import pytest
import small_main
import torch
from runs import advance, assert_same_bits
from torch.utils.data import DataLoader, TensorDataset

from digitnet import dataset
from digitnet import test as evaluation
from digitnet.errors import ModelError
from digitnet.loop import run as training_run
from digitnet.loop.run import TrainingRun
from digitnet.model import DigitNet
from digitnet.train import train


@pytest.fixture
def small(monkeypatch):
    """Enough of MNIST to learn from."""
    small_main.install(replace=monkeypatch.setattr)


def test_the_three_lines_of_a_notebook_train_a_model_that_reads(small):
    train_loader, test_loader = dataset.get_data_loaders()
    model = DigitNet()
    train(model, train_loader, "cpu", epochs=2)
    assert evaluation.test(model, test_loader, "cpu") > 0.85


def test_any_data_loader_will_do(mnist_digits):
    images, labels = mnist_digits
    pairs = TensorDataset(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())
    model = DigitNet()
    before = evaluation.evaluate(model, DataLoader(pairs, 50), "cpu").loss
    train(model, DataLoader(pairs, batch_size=20, shuffle=True), "cpu", epochs=3)
    assert evaluation.evaluate(model, DataLoader(pairs, 50), "cpu").loss < before


def fresh_run(seed=0):
    torch.manual_seed(seed)
    return TrainingRun(DigitNet(), "cpu", seed=seed)


@pytest.mark.parametrize("stops", [[1], [5], [6], [7], [3, 4, 9]])
def test_resuming_after_any_batch_gives_the_same_bits_as_never_stopping(tiny, stops, tmp_path):
    """6 batches an epoch: in the plain epoch, at its end, in the augmented ones, and several times over."""
    whole = fresh_run()
    advance(whole, 14)

    run, done = fresh_run(), 0
    for stop in [*stops, 14]:
        advance(run, stop - done)
        done = stop
        torch.save(run.state_dict(), tmp_path / "state.pth")
        run = fresh_run(seed=99)  # as a new process would: other weights, another random state
        run.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    assert_same_bits(run.state_dict(), whole.state_dict())


@pytest.mark.parametrize("forgotten", ["generator", "optimizer", "average", "batch"])
def test_each_part_of_the_state_is_needed_for_that(tiny, forgotten):
    whole = fresh_run()
    advance(whole, 9)
    state = copy.deepcopy(whole.state_dict())
    advance(whole, 4)

    run = fresh_run()
    state[forgotten] = run.state_dict()[forgotten]
    if forgotten == "batch":
        state["batch"] = 1
    run.load_state_dict(state)
    advance(run, 4)
    with pytest.raises(AssertionError):
        assert_same_bits(run.state_dict(), whole.state_dict())


def test_two_seeds_differ_and_the_same_seed_does_not(tiny):
    runs = [fresh_run(seed) for seed in (1, 1, 2)]
    for run in runs:
        advance(run, 8)
    assert_same_bits(runs[0].state_dict(), runs[1].state_dict())
    with pytest.raises(AssertionError):
        assert_same_bits(runs[0].state_dict(), runs[2].state_dict())


def test_the_average_is_the_weighted_mean_of_the_steps(tiny):
    run = fresh_run()
    expected = None
    for step in range(5):
        advance(run, 1)
        current = run.model.head.weight.detach().clone()
        share = 1.0 if step == 0 else (training_run.AVERAGING_POWER + 1) / (step + training_run.AVERAGING_POWER + 1)
        expected = current if expected is None else expected + share * (current - expected)
    assert torch.allclose(run.average.module.head.weight, expected, atol=1e-6)


def test_the_learning_rate_warms_up_and_then_falls_without_an_end():
    run = fresh_run()
    rates = []
    for step in (0, 50, 99, 100, 1000, 100_000):
        run.step = step
        rates.append(run.learning_rate)
    assert rates[0] < rates[1] < rates[2] == run.peak_learning_rate
    assert rates[2] > rates[3] > rates[4] > rates[5] > 0


def test_weights_that_are_trained_already_are_not_undone(small):
    train_loader, test_loader = dataset.get_data_loaders()
    model = DigitNet()
    train(model, train_loader, "cpu", epochs=3)
    before = evaluation.test(model, test_loader, "cpu")
    run = fresh_run()
    run.start_from(model.state_dict())
    advance(run, 3)
    assert evaluation.test(run.average.module, test_loader, "cpu") > before - 0.02


def test_a_loss_that_is_not_finite_ends_training_before_it_reaches_the_weights(mnist_digits):
    images, labels = mnist_digits
    spoilt = torch.from_numpy(images)[:, None].clone()
    spoilt[50] = torch.nan
    pairs = TensorDataset(spoilt, torch.from_numpy(labels).long())
    run = fresh_run()
    with pytest.raises(ModelError, match="diverged"):
        train(run.model, DataLoader(pairs, batch_size=20), "cpu", epochs=1, run=run)
    assert run.step == 2
    assert all(parameter.isfinite().all() for parameter in run.model.parameters())


def test_evaluation_counts_right_answers_and_leaves_the_model_as_it_was(mnist_digits):
    class Always(torch.nn.Module):
        def forward(self, images):
            return torch.nn.functional.one_hot(torch.full((len(images),), 7), 10).float()

    images, labels = mnist_digits
    loader = DataLoader(TensorDataset(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long()), 64)
    model = Always().train()
    result = evaluation.evaluate(model, loader, "cpu")
    assert result.correct == int((labels == 7).sum())
    assert result.total == 200
    assert result.accuracy == evaluation.test(model, loader, "cpu") == result.correct / 200
    assert result.loss > 1
    assert model.training
