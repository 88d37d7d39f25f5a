import copy
from dataclasses import replace

import pytest
import small_main
import torch
from torch.utils.data import DataLoader, TensorDataset

from digitnet import dataset
from digitnet import test as evaluation
from digitnet.errors import ModelError
from digitnet.model import DigitNet
from digitnet.train import train
from digitnet.training import run as training_run
from digitnet.training.recipes import QUICK, Recipe
from digitnet.training.run import TrainingRun


@pytest.fixture
def small(monkeypatch):
    """Enough of MNIST to learn from."""
    small_main.install(replace=monkeypatch.setattr)


@pytest.fixture
def tiny(monkeypatch):
    """Enough of MNIST to compare bits and rates: 6 batches of 100."""
    small_main.install(training=600, replace=monkeypatch.setattr)


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
    assert rates[0] < rates[1] < rates[2] == QUICK.peak_learning_rate
    assert rates[2] > rates[3] > rates[4] > rates[5] > 0


PLANNED = Recipe("planned", "for tests", epochs=3, warmup_steps=4)


def test_a_planned_run_ends_with_a_learning_rate_of_nothing(tiny):
    run = TrainingRun(DigitNet(), "cpu", recipe=PLANNED)
    advance(run, 5)
    peak = run.learning_rate
    assert PLANNED.peak_learning_rate * 0.7 < peak < PLANNED.peak_learning_rate
    advance(run, 12)
    assert 0 < run.learning_rate < peak / 20
    run.epoch, run.batch = PLANNED.epochs, 0
    assert run.learning_rate == 0


def test_cooldown_epochs_begin_again_at_a_tenth_of_the_rate_and_augment_less(tiny, monkeypatch):
    seen = []

    def spy(images, labels, generator, *, strongest):
        seen.append(strongest)
        return images

    monkeypatch.setattr(training_run, "augment", spy)
    run = TrainingRun(DigitNet(), "cpu", recipe=replace(PLANNED, epochs=4, cooldown_epochs=1))
    loader, _ = dataset.get_data_loaders(batch_size=100)
    rates = []
    train(run.model, loader, "cpu", epochs=4, run=run, on_batch=lambda: rates.append(run.learning_rate))
    cooldown = len(loader)
    falling, again = rates[: -cooldown - 1], rates[-cooldown - 1 :]  # each rate is that of the step after
    assert falling[-1] < PLANNED.peak_learning_rate / 10
    assert again[0] == pytest.approx(PLANNED.peak_learning_rate / 10)
    assert again == sorted(again, reverse=True)
    assert again[-1] == 0
    assert seen == [1.0] * 2 * cooldown + [training_run.COOLDOWN_STRENGTH] * cooldown


def test_a_planned_run_resumes_to_the_bit_with_its_teachers(tiny, tmp_path):
    torch.manual_seed(7)
    teachers = [DigitNet(8, deep=True), DigitNet(4)]

    def planned():
        torch.manual_seed(0)
        return TrainingRun(DigitNet(), "cpu", recipe=PLANNED, teachers=teachers)

    whole, run = planned(), planned()
    advance(whole, 9)
    advance(run, 4)
    torch.save(run.state_dict(), tmp_path / "state.pth")
    run = planned()
    run.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    advance(run, 5)
    assert_same_bits(run.state_dict(), whole.state_dict())


def test_a_network_learns_from_its_teacher_what_the_labels_do_not_say(small, mnist_digits):
    """The teacher takes every 7 for a 1. The labels say nothing of that kind."""

    class Teacher(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = DigitNet()

        def forward(self, images):
            logits = self.net(images).clone()
            logits[:, 1] = torch.maximum(logits[:, 1], logits[:, 7] + 5)
            return logits

    teacher = Teacher()
    loader, _ = dataset.get_data_loaders()
    train(teacher.net, loader, "cpu", epochs=1)
    images = torch.from_numpy(mnist_digits[0][mnist_digits[1] == 7])[:, None]
    ones = {}
    for name, teachers in (("alone", []), ("distilled", [teacher])):
        torch.manual_seed(0)
        run = TrainingRun(DigitNet(), "cpu", teachers=teachers)
        train(run.model, loader, "cpu", epochs=1, run=run)
        with torch.inference_mode():
            probabilities = run.average.module.eval()(images).softmax(1)
        ones[name] = float(probabilities[:, 1].mean())
    assert ones["distilled"] > ones["alone"] + 0.2


def test_a_state_of_another_recipe_is_refused():
    state = fresh_run().state_dict()
    with pytest.raises(ValueError, match="recipe 'quick', not 'planned'"):
        TrainingRun(DigitNet(), "cpu", recipe=PLANNED).load_state_dict(state)


def test_a_state_of_a_run_with_other_teachers_is_refused():
    teacher, other = DigitNet(4), DigitNet(4)
    state = TrainingRun(DigitNet(), "cpu", teachers=[teacher]).state_dict()
    TrainingRun(DigitNet(), "cpu", teachers=[copy.deepcopy(teacher)]).load_state_dict(state)
    for teachers in ([], [other], [teacher, other]):
        with pytest.raises(ValueError, match="other teachers"):
            TrainingRun(DigitNet(), "cpu", teachers=teachers).load_state_dict(state)


def test_a_planned_run_that_starts_from_weights_goes_through_all_its_rates(tiny):
    run = TrainingRun(DigitNet(), "cpu", recipe=PLANNED)
    run.start_from(DigitNet().state_dict())
    advance(run, 1)
    rate = run.learning_rate
    assert PLANNED.peak_learning_rate / 2 < rate < PLANNED.peak_learning_rate
    advance(run, 2 * run.steps_an_epoch - 2)
    assert 0 < run.learning_rate < rate / 10


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
