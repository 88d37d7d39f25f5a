from dataclasses import replace

import pytest
import torch
from runs import advance, assert_same_bits

from digitnet import dataset
from digitnet.errors import ModelError
from digitnet.loop.checkpoint import Checkpoint
from digitnet.loop.run import TrainingRun
from digitnet.model import DigitNet
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.train import train
from digitnet.training import recipe_run
from digitnet.training.recipe_run import RecipeRun
from digitnet.training.recipes import QUICK, RECIPES, Recipe

PLANNED = Recipe("planned", "for tests", epochs=3, warmup_steps=4)


def test_a_planned_run_ends_with_a_learning_rate_of_nothing(tiny):
    run = RecipeRun(DigitNet(), "cpu", recipe=PLANNED)
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

    monkeypatch.setattr(recipe_run, "augment", spy)
    run = RecipeRun(DigitNet(), "cpu", recipe=replace(PLANNED, epochs=4, cooldown_epochs=1))
    loader, _ = dataset.get_data_loaders(batch_size=100)
    rates = []
    train(run.model, loader, "cpu", epochs=4, run=run, on_batch=lambda: rates.append(run.learning_rate))
    cooldown = len(loader)
    falling, again = rates[: -cooldown - 1], rates[-cooldown - 1 :]  # each rate is that of the step after
    assert falling[-1] < PLANNED.peak_learning_rate / 10
    assert again[0] == pytest.approx(PLANNED.peak_learning_rate / 10)
    assert again == sorted(again, reverse=True)
    assert again[-1] == 0
    assert seen == [1.0] * 2 * cooldown + [recipe_run.COOLDOWN_STRENGTH] * cooldown


def test_a_planned_run_resumes_to_the_bit(tiny, tmp_path):
    def planned():
        torch.manual_seed(0)
        return RecipeRun(DigitNet(), "cpu", recipe=PLANNED)

    whole, run = planned(), planned()
    advance(whole, 9)
    advance(run, 4)
    torch.save(run.state_dict(), tmp_path / "state.pth")
    run = planned()
    run.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    advance(run, 5)
    assert_same_bits(run.state_dict(), whole.state_dict())


def test_a_planned_run_that_starts_from_weights_goes_through_all_its_rates(tiny):
    run = RecipeRun(DigitNet(), "cpu", recipe=PLANNED)
    run.start_from(DigitNet().state_dict())
    advance(run, 1)
    rate = run.learning_rate
    assert PLANNED.peak_learning_rate / 2 < rate < PLANNED.peak_learning_rate
    advance(run, 3 * run.steps_an_epoch - 2)
    assert 0 < run.learning_rate < rate / 10


@pytest.mark.parametrize("name", RECIPES)
def test_the_learning_rate_is_known_before_the_first_batch(name):
    recipe = RECIPES[name]
    run = RecipeRun(DigitNet(), "cpu", recipe=recipe)
    assert 0 < run.learning_rate <= recipe.peak_learning_rate
    run.step, run.epoch, run.batch = 900, 1, 100  # resumed, and interrupted at once
    before = run.learning_rate
    run.steps_an_epoch = 200
    assert 0 < run.learning_rate <= before <= recipe.peak_learning_rate


def saved_after(path, done, **plan):
    """A file in which a planned run has done so many epochs."""
    run, checkpoint = RecipeRun(DigitNet(), "cpu", recipe=PLANNED, **plan), Checkpoint(path)
    checkpoint.resume(run)
    run.epoch = run.first_epoch + done
    checkpoint.save(run)
    return run


def resumed(path, **plan):
    run = RecipeRun(DigitNet(), "cpu", recipe=PLANNED, **plan)
    return run, Checkpoint(path).resume(run)


def test_a_finished_run_is_trained_on_from_its_weights_with_other_epochs_and_another_rate(tmp_path):
    path = tmp_path / "model.pth"
    before = saved_after(path, 3)
    run, message = resumed(path, epochs=2, rate=5e-4)
    assert message.startswith("Starting from the weights in")
    assert torch.equal(run.model.head.weight, before.average.module.head.weight)
    assert not run.is_finished
    assert run.learning_rate == 5e-4
    assert list(tmp_path.glob("model.train.*.pth")), "the state of before is kept"
    saved_after(path, 1, epochs=2, rate=5e-4)
    for again in ({}, {"epochs": 2, "rate": 5e-4}):  # without the options, it goes on as it was begun
        run, message = resumed(path, **again)
        assert message.startswith("Going on")
        assert run.peak_learning_rate == 5e-4
        assert not run.is_finished
        run.end_epoch()
        assert run.is_finished


def test_a_run_that_is_not_finished_is_not_given_other_epochs(tmp_path):
    saved_after(tmp_path / "model.pth", 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ModelError, match=r"a run of 3 epochs from the rate 0\.006, not finished"):
        resumed(tmp_path / "model.pth", epochs=5)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_digitnet_train_goes_on_with_a_run_of_main_py(tmp_path):
    checkpoint = Checkpoint(tmp_path / "model.pth")
    checkpoint.save(TrainingRun(DigitNet(), "cpu"))
    run = RecipeRun(DigitNet(), "cpu", recipe=QUICK)
    assert Checkpoint(checkpoint.model_path).resume(run).startswith("Going on")
    assert not run.is_finished


def test_stroke_digits_get_no_second_bar_or_flag(mnist_digits, monkeypatch):
    monkeypatch.setattr(recipe_run, "STROKE_DIGITS", 500)
    monkeypatch.setattr(recipe_run, "STROKE_LETTERS", 100)
    seen = []
    monkeypatch.setattr(recipe_run, "augment", lambda images, labels, *_, **__: seen.append(labels) or images)
    recipe_run._stroke_pool.cache_clear()
    run = RecipeRun(DigitNet(), "cpu", recipe=replace(PLANNED, stroke_digits=0.3))
    run.epoch = 1
    images, labels = (torch.from_numpy(array) for array in mnist_digits)
    batch_labels = labels.long()
    _, labels = run.prepare((images[:, None], batch_labels))
    recipe_run._stroke_pool.cache_clear()
    (shapes,) = seen
    assert torch.equal(shapes[:200], batch_labels)
    assert (labels[200:260] < NOT_A_DIGIT).all()
    assert (shapes[200:260] == NOT_A_DIGIT).all()
    assert torch.equal(shapes[260:], labels[260:])
