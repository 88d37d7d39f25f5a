"""`digitnet train` on a small part of MNIST; what it shares with main.py is tested there."""

import signal

import pytest
import small_main
import torch

from digitnet import cli
from digitnet.model import DigitNet
from digitnet.training.recipe_run import RecipeRun
from digitnet.training.recipes import RECIPES, Recipe


@pytest.fixture
def train_here(tmp_path, monkeypatch, capfd):
    """Runs `digitnet train` here and in tmp_path, on 5 batches a cycle; gives exit code, output and messages."""
    small_main.install(training=1140, test=200, replace=monkeypatch.setattr)
    monkeypatch.setitem(RECIPES, "short", Recipe("short", "for tests", epochs=1, warmup_steps=4))
    monkeypatch.chdir(tmp_path)

    def finish(*arguments):
        code = cli.main(["train", *arguments, "--device", "cpu"])
        return code, *capfd.readouterr()

    return finish


def test_a_recipe_that_is_finished_says_so_and_what_to_do(train_here, tmp_path):
    code, output, messages = train_here("--recipe", "short")
    assert (code, output[:8]) == (0, "cycle 1:")
    assert "The recipe 'short' is finished after 1 epochs; model.pth holds its result." in messages
    before = (tmp_path / "model.train.pth").read_bytes()
    for more in ([], ["--cycles", "2"]):
        code, output, messages = train_here("--recipe", "short", *more)
        assert (code, output) == (0, "")
        assert "finished after 1 epochs" in messages
        assert "start a new run with another --model" in messages
    assert (tmp_path / "model.train.pth").read_bytes() == before


def test_a_finished_file_is_trained_on(train_here, tmp_path):
    assert train_here("--recipe", "short")[0] == 0
    code, output, messages = train_here("--recipe", "short", "--epochs", "2", "--rate", "1e-4")
    assert (code, output.count("\n")) == (0, 2), messages
    assert "Starting from the weights in model.pth" in messages
    assert "finished after 2 epochs" in messages


@pytest.mark.parametrize(
    "wrong",
    [["--epochs", "0"], ["--rate", "0"], ["--rate", "-1"], ["--cycles", "0"], ["--seed", "-1"]],
)
def test_a_number_that_makes_no_sense_is_refused(wrong, train_here, tmp_path):
    code, _, messages = train_here(*wrong)
    assert code == 2
    assert f"{wrong[0]} {wrong[1]}: give " in messages
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_another_recipe_is_refused_and_left_as_it_is(train_here, tmp_path):
    assert train_here("--cycles", "1")[0] == 0
    before = (tmp_path / "model.train.pth").read_bytes()
    code, _, messages = train_here("--recipe", "short")
    assert code == 1
    assert "a run of the recipe 'quick', not 'short'; go on with: digitnet train --recipe quick" in messages
    assert (tmp_path / "model.train.pth").read_bytes() == before


def test_an_interrupted_run_goes_on_with_the_same_command(train_here, tmp_path, monkeypatch):
    after_step = RecipeRun.after_step

    def after_step_and_send(run, loss):
        after_step(run, loss)
        if run.step == 7:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RecipeRun, "after_step", after_step_and_send)
    monkeypatch.setitem(RECIPES, "short", Recipe("short", "for tests", epochs=2, warmup_steps=4))
    code, output, messages = train_here("--recipe", "short")
    assert (code, output.count("\n")) == (130, 1)
    assert "Stopped. model.pth holds everything so far; the same command goes on from there.\n" in messages
    code, output, messages = train_here("--recipe", "short")
    assert (code, output[:8], output.count("\n")) == (0, "cycle 2:", 1), messages
    assert "Going on with model.pth after 7 batches." in messages


def test_tensorboard_curves_are_written(train_here, tmp_path):
    assert train_here("--cycles", "4", "--tensorboard", "curves")[0] == 0
    (events,) = (tmp_path / "curves").iterdir()
    assert b"loss/train" in events.read_bytes()
    assert b"validation/accuracy" in events.read_bytes()


def test_its_first_recipe_trains_what_main_py_trains(train_here, tmp_path):
    from digitnet import main

    assert train_here("--cycles", "2", "--seed", "3")[0] == 0
    assert main.main(["--cycles", "2", "--seed", "3", "--device", "cpu", "--model", "other.pth"]) == 0
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("model.pth", "other.pth"))
    assert all(torch.equal(one[name], other[name]) for name in DigitNet().state_dict())
