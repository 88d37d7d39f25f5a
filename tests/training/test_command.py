"""`digitnet train` on a small part of MNIST; what it shares with main.py is tested there."""

import argparse
import signal
from pathlib import Path

import pytest
import small_main
import torch

from digitnet import cli
from digitnet.model import DigitNet
from digitnet.training import command
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


COMMANDS = [  # options, what is set in the environment, the command to go on with
    ([], {}, "digitnet train --model m.pth"),
    (
        ["--recipe", "best", "--data", "my data", "--device", "cpu", "--tensorboard", "t"],
        {},
        "digitnet train --recipe best --model m.pth --data 'my data' --device cpu --tensorboard t",
    ),
    (
        ["--recipe", "detector", "--epochs", "8", "--rate", "5e-4"],
        {},
        "digitnet train --recipe detector --epochs 8 --rate 0.0005 --model m.pth",
    ),
    (["--cycles", "5"], {}, "digitnet train --model m.pth --cycles 3"),
    (["--cycles", "2"], {}, "digitnet train --model m.pth"),
    (
        [],
        {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        "torchrun --nproc-per-node=2 -m digitnet train --model m.pth",
    ),
    (
        [],
        {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
        "torchrun --nproc-per-node=4 --nnodes=2 --node-rank=0 --master-addr=FIRST --master-port=29500 -m digitnet train"
        " --model m.pth",
    ),
]


@pytest.mark.parametrize(("options", "environment", "expected"), COMMANDS)
def test_the_command_to_go_on_with_has_all_that_the_run_was_started_with(
    options, environment, expected, monkeypatch, capsys
):
    if environment:
        common = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "FIRST", "MASTER_PORT": "29500"}
        for name, value in (common | environment).items():
            monkeypatch.setenv(name, value)
    parser = argparse.ArgumentParser()
    command.add_train_arguments(parser)
    command._say_how_to_go_on(parser.parse_args(options), Path("m.pth"), 2)
    assert capsys.readouterr().err.endswith(f"go on with: {expected}\n")


def test_an_interrupt_says_how_to_go_on_as_digitnet_train(train_here, monkeypatch):
    after_step = RecipeRun.after_step
    monkeypatch.setattr(
        RecipeRun, "after_step", lambda run, loss: after_step(run, loss) or signal.raise_signal(signal.SIGINT)
    )
    code, _, messages = train_here("--cycles", "3")
    assert code == 130
    assert "go on with: digitnet train --model model.pth --device cpu --cycles 3\n" in messages


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
