"""The program as a user runs it: in a process of its own, on a small part of MNIST."""

import io
import json
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers import ROOT, environment

from digitnet.errors import UsageError
from digitnet.files import locked
from digitnet.main import Progress, choose_device
from digitnet.model import DigitNet
from digitnet.training.checkpoint import load_weights

SMALL = [sys.executable, str(ROOT / "tests" / "small_main.py")]


def start(folder, *arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*SMALL, *arguments], cwd=folder, env=environment(), **options)


def ended(process):
    """What a process that should end by itself has said; one that does not is a failure, not a wait without an end."""
    try:
        return process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def finish(folder, *arguments, **options):
    process = start(folder, *arguments, **options)
    output, messages = ended(process)
    return process.returncode, output, messages


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def batches_done(folder):
    return torch.load(folder / "model.train.pth", weights_only=True)["run"]["step"]


def test_cycles_are_trained_evaluated_saved_and_reported(tmp_path):
    code, output, messages = finish(tmp_path, "--cycles", "2", "--device", "cpu")
    assert code == 0, messages
    lines = output.splitlines()
    assert [line.split(":")[0] for line in lines] == ["cycle 1", "cycle 2"]
    for words in ("loss ", "validation ", "test ", "best validation ", " s, saved model.pth"):
        assert all(words in line for line in lines)
    assert "Starting afresh" in messages
    assert "images/s" in messages
    assert "\r" not in messages  # plain lines where no terminal is
    DigitNet().load_state_dict(torch.load(tmp_path / "model.pth"))
    history = [json.loads(line) for line in (tmp_path / "model.history.jsonl").read_text().splitlines()]
    assert [cycle["cycle"] for cycle in history] == [1, 2]
    assert history[1]["validation_accuracy"] > 0.5

    code, output, messages = finish(tmp_path, "--cycles", "1")
    assert output.startswith("cycle 3:")
    assert "Going on with model.pth" in messages


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_a_cycle_saves_and_says_how_to_go_on(number, tmp_path):
    with start(tmp_path) as process:
        wait_for((tmp_path / "model.pth").exists, process)
        process.send_signal(number)
        process.send_signal(number)  # an impatient second one does no harm
        _, messages = ended(process)
    assert process.returncode == 130
    assert "go on with: python main.py --model model.pth" in messages
    assert "Traceback" not in messages
    load_weights(tmp_path / "model.pth")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".model.pth.lock") == [
        "model.history.jsonl",
        "model.pth",
        "model.train.pth",
    ]


def test_an_interrupted_run_ends_with_the_same_bits_as_one_that_was_not(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert finish(whole, "--cycles", "2", "--seed", "5")[0] == 0
    steps = batches_done(whole)
    with start(parts, "--seed", "5") as process:
        wait_for((parts / "model.pth").exists, process)
        process.send_signal(signal.SIGINT)
    assert 0 < batches_done(parts) < steps
    while batches_done(parts) < steps:
        assert finish(parts, "--cycles", "1")[0] == 0
    assert batches_done(parts) == steps
    for name, tensor in load_weights(whole / "model.pth").items():
        assert torch.equal(tensor, load_weights(parts / "model.pth")[name]), name


@pytest.mark.parametrize("seconds", [0.4, 1.5])
def test_an_interrupt_while_it_starts_ends_it_cleanly_too(seconds, tmp_path):
    command = [sys.executable, str(ROOT / "main.py")]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        time.sleep(seconds)  # while it imports torch, long before training
        process.send_signal(signal.SIGINT)
        messages = ended(process)[1]
    assert process.returncode in (130, -signal.SIGINT)
    assert not (tmp_path / "model.pth").exists()
    if process.returncode == 130:
        assert "nothing was changed" in messages


def test_a_second_run_on_the_same_model_stops_with_a_message(tmp_path):
    with locked(tmp_path / "model.pth"):
        code, output, messages = finish(tmp_path, "--cycles", "1")
    assert (code, output) == (1, "")
    assert "model.pth: another run is using it" in messages


def test_a_model_that_is_refused_is_left_as_it_is(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"precious")
    code, _, messages = finish(tmp_path, "--cycles", "1")
    assert code == 1
    assert "model.pth: not a file of PyTorch weights" in messages
    assert (tmp_path / "model.pth").read_bytes() == b"precious"


def test_a_full_disk_loses_nothing_and_training_goes_on(tmp_path):
    assert finish(tmp_path, "--cycles", "1")[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def no_file_above_100_kilobytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    code, output, messages = finish(tmp_path, "--cycles", "2", preexec_fn=no_file_above_100_kilobytes)
    assert code == 1
    assert messages.count("cannot be saved") == 2
    assert output.count("not saved") == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path):
    code, output, messages = finish(tmp_path, "--model", "/proc/model.pth", "--cycles", "1")
    assert (code, output) == (1, "")
    assert "its folder cannot be written" in messages


def test_kill_at_any_moment_leaves_a_model_that_loads_and_goes_on(tmp_path):
    """A few times here; benchmarks/crash.py does it a hundred times."""
    steps = 0
    for delay in (0.0, 0.35):
        with start(tmp_path) as process:
            done = (tmp_path / "model.history.jsonl").read_bytes() if steps else b""
            history = tmp_path / "model.history.jsonl"
            wait_for(lambda: history.exists() and history.read_bytes() != done, process)  # noqa: B023
            time.sleep(delay)
            process.kill()
        load_weights(tmp_path / "model.pth")
        assert batches_done(tmp_path) > steps
        steps = batches_done(tmp_path)


def test_tensorboard_curves_are_written(tmp_path):
    assert finish(tmp_path, "--cycles", "1", "--tensorboard", "curves")[0] == 0
    (events,) = (tmp_path / "curves").iterdir()
    assert b"loss/train" in events.read_bytes()
    assert b"validation/accuracy" in events.read_bytes()


def test_a_device_that_is_not_there_is_refused_with_the_ones_that_are(tmp_path):
    for name in ("nonsense", "cuda:99", "xpu"):
        with pytest.raises(UsageError, match=r"not available here; choose from .*cpu"):
            choose_device(name)
    assert choose_device("cpu").type == "cpu"
    code, _, messages = finish(tmp_path, "--device", "nonsense")
    assert code == 2
    assert "nonsense" in messages


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_loss_speed_and_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("cycle 3", batches=4, first=1) as progress:
        progress.advance(128, 0.5)
        progress.bar.refresh()
    for words in ("cycle 3", "50%", "loss 0.5000", "images/s", "left"):
        assert words in terminal.getvalue()
