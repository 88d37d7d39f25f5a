"""The program as a user runs it, on a small part of MNIST; in a process of its own where signals need one."""

import io
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_main
import torch
from helpers import ROOT, environment

from digitnet import main
from digitnet.errors import UsageError
from digitnet.files import locked
from digitnet.loop.hardware import choose_device
from digitnet.loop.progress import progress_bar
from digitnet.loop.run import TrainingRun
from digitnet.loop.weights import load_weights
from digitnet.model import DigitNet


@pytest.fixture
def run_here(tmp_path, monkeypatch, capfd):
    """Runs main.py in this process and in tmp_path, on 5 batches a cycle; gives exit code, output and messages."""
    small_main.install(training=1140, test=200, replace=monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)

    def finish(*arguments):
        code = main.main([*arguments, "--device", "cpu"])
        return code, *capfd.readouterr()

    return finish


@pytest.fixture
def send_after(monkeypatch):
    """Sends signals to this process in the middle of training, after a batch."""

    def install(step, *numbers):
        after_step = TrainingRun.after_step

        def after_step_and_send(run, loss):
            after_step(run, loss)
            if run.step == step:
                for number in numbers:
                    signal.raise_signal(number)

        monkeypatch.setattr(TrainingRun, "after_step", after_step_and_send)

    return install


def start(folder, *command):
    return subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    )


def start_small(folder):
    return start(folder, ROOT / "tests" / "small_main.py")


def ended(process):
    """What a process that should end by itself has said; one that does not is a failure, not a wait without an end."""
    try:
        return process.communicate(timeout=200)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def batches_done(folder):
    return torch.load(folder / "model.train.pth", weights_only=True)["run"]["step"]


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".model.pth.lock")


def test_cycles_are_trained_evaluated_saved_and_reported(run_here, tmp_path, monkeypatch):
    monkeypatch.setattr(small_main, "TRAINING", 2000)
    code, output, messages = run_here("--cycles", "2")
    assert code == 0, messages
    lines = output.splitlines()
    assert [line.split(":")[0] for line in lines] == ["cycle 1", "cycle 2"]
    for words in ("loss ", "validation ", "test ", "best validation ", " s, saved model.pth"):
        assert all(words in line for line in lines)
    assert "Starting afresh" in messages
    assert "images/s" in messages
    DigitNet().load_state_dict(torch.load("model.pth"))
    history = [json.loads(line) for line in (tmp_path / "model.history.jsonl").read_text().splitlines()]
    assert [cycle["cycle"] for cycle in history] == [1, 2]
    assert history[1]["validation_accuracy"] > 0.5

    code, output, messages = run_here("--cycles", "1")
    assert output.startswith("cycle 3:")
    assert "Going on with model.pth" in messages


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_a_cycle_saves_and_says_how_to_go_on(number, run_here, send_after, tmp_path):
    send_after(7, number, number)  # an impatient second one does no harm
    code, _, messages = run_here("--seed", "5")
    assert code == 130
    assert "Stopped. model.pth holds everything so far; the same command goes on from there.\n" in messages
    load_weights(tmp_path / "model.pth")
    assert batches_done(tmp_path) == 7
    assert names(tmp_path) == ["model.history.jsonl", "model.pth", "model.train.pth"]


def test_a_process_that_is_told_to_terminate_saves_and_exits_with_130(tmp_path):
    with start_small(tmp_path) as process:
        wait_for((tmp_path / "model.pth").exists, process)
        process.send_signal(signal.SIGTERM)
        messages = ended(process)
    assert process.returncode == 130
    assert "Stopped. model.pth holds everything so far" in messages
    assert "Traceback" not in messages
    load_weights(tmp_path / "model.pth")
    assert names(tmp_path) == ["model.history.jsonl", "model.pth", "model.train.pth"]


def test_an_interrupted_run_ends_with_the_same_bits_as_one_that_was_not(run_here, send_after, tmp_path):
    assert run_here("--cycles", "2", "--seed", "5", "--model", "whole.pth")[0] == 0
    for step in (3, 8):  # in the plain epoch and in an augmented one
        send_after(step, signal.SIGINT)
        assert run_here("--seed", "5")[0] == 130
        assert batches_done(tmp_path) == step
    assert run_here("--cycles", "1")[0] == 0
    assert batches_done(tmp_path) == 10
    for name, tensor in load_weights("whole.pth").items():
        assert torch.equal(tensor, load_weights("model.pth")[name]), name


@pytest.mark.parametrize("module", ["numpy", "torchvision"])
def test_an_interrupt_while_it_starts_ends_it_cleanly_too(module, tmp_path):
    """Python reports each import that is done, so the signal comes in the middle of the imports, before training."""
    with start(tmp_path, "-X", "importtime", ROOT / "main.py") as process:
        assert any(line.rstrip().endswith(module) for line in process.stderr)
        process.send_signal(signal.SIGINT)
        messages = ended(process)
    assert process.returncode == 130
    assert "nothing was changed" in messages
    assert not (tmp_path / "model.pth").exists()


def test_a_second_run_on_the_same_model_stops_with_a_message(run_here):
    with locked(Path("model.pth")):
        code, output, messages = run_here("--cycles", "1")
    assert (code, output) == (1, "")
    assert "model.pth: another run is using it" in messages


def test_a_model_that_is_refused_is_left_as_it_is(run_here, tmp_path):
    (tmp_path / "model.pth").write_bytes(b"precious")
    code, _, messages = run_here("--cycles", "1")
    assert code == 1
    assert "model.pth: not a file of PyTorch weights" in messages
    assert (tmp_path / "model.pth").read_bytes() == b"precious"


def test_a_full_disk_loses_nothing_and_training_goes_on(run_here, tmp_path):
    assert run_here("--cycles", "1")[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        code, output, messages = run_here("--cycles", "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert messages.count("cannot be saved") == 2
    assert output.count("not saved") == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_said_before_training(run_here):
    code, output, messages = run_here("--model", "/proc/model.pth", "--cycles", "1")
    assert (code, output) == (1, "")
    assert "its folder cannot be written" in messages


def test_kill_at_any_moment_leaves_a_model_that_loads_and_goes_on(tmp_path):
    """Twice here, between the files of a save and after it; benchmarks/crash.py does it a hundred times."""
    steps = 0
    for name in ("model.history.jsonl", "model.train.pth"):
        written = tmp_path / name
        before = written.read_bytes() if written.exists() else b""
        with start_small(tmp_path) as process:
            wait_for(lambda: written.exists() and written.read_bytes() != before, process)  # noqa: B023
            process.kill()
        load_weights(tmp_path / "model.pth")
        assert batches_done(tmp_path) > steps
        steps = batches_done(tmp_path)


def test_a_device_that_is_not_there_is_refused_with_the_ones_that_are(run_here, capfd):
    for name in ("nonsense", "cuda:99", "xpu"):
        with pytest.raises(UsageError, match=r"not available here; choose from .*cpu"):
            choose_device(name)
    assert choose_device("cpu").type == "cpu"
    assert main.main(["--device", "nonsense"]) == 2
    assert "nonsense" in capfd.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_loss_speed_and_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("cycle 3", 4, batch_size=128, first=1) as bar:
        bar.set_postfix_str("loss 0.5000", refresh=False)
        bar.update()
        bar.refresh()
    for words in ("cycle 3", "50%", "loss 0.5000", "images/s", "left"):
        assert words in terminal.getvalue()


def test_elsewhere_each_quarter_gets_a_plain_line(capsys):
    with progress_bar("cycle 3", 40, batch_size=128, first=3) as bar:
        for _ in range(37):
            bar.update()
    messages = capsys.readouterr().err
    assert "\r" not in messages
    assert [line[:12] for line in messages.splitlines()] == ["cycle 3  32%", "cycle 3  57%", "cycle 3  82%"]
    assert all("images/s" in line and "left" in line for line in messages.splitlines())
