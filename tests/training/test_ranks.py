"""Training on several ranks, with a real torchrun. Every run is a process that imports torch, so there are few runs."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, environment

from digitnet.dataset import ShuffledBatches
from digitnet.errors import ModelError, UsageError
from digitnet.interruption import Interruption
from digitnet.loop.weights import load_weights
from digitnet.model import DigitNet
from digitnet.training import command
from digitnet.training.detector import Detector
from digitnet.training.detector_run import DetectorRun
from digitnet.training.line_reader import LineReader
from digitnet.training.line_reader_run import LineReaderRun
from digitnet.training.ranks import Ranks, SharedRun
from digitnet.training.recipe_run import RecipeRun
from digitnet.training.recipes import DETECTOR, LINE_READER, QUICK

PYTHON = [sys.executable]
TWO_RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
SPIED, SMALL = [ROOT / "tests" / "spied_main.py"], [ROOT / "tests" / "small_main.py", "train"]


def start(folder, launcher, program, *arguments, **spy):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*launcher, *map(str, program), "--device", "cpu", *arguments],
        cwd=folder,
        env={**environment(), "SPY": json.dumps({"log": "log", **spy})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    """Output and messages of a process that should end by itself; one that does not is a failure."""
    try:
        return process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # torchrun then ends its ranks
        process.communicate()
        raise


def finish(*arguments, **spy):
    with start(*arguments, **spy) as process:
        output, messages = ended(process)
    return process.returncode, output, messages


def logged(folder, kind, rank=0):
    entries = map(json.loads, (folder / f"log.{rank}").read_text().splitlines())
    return [rest for name, *rest in entries if name == kind]


def weights(path):
    return torch.cat([tensor.flatten() for tensor in torch.load(path, weights_only=True).values()])


def steps_done(folder, name="model"):
    return torch.load(folder / f"{name}.train.pth", weights_only=True)["run"]["step"]


def assert_about_the_same(one, other, seed_weights, *, tolerance):
    """Compares two runs. The difference is measured in how far training has moved the weights.

    The ranks add up the same gradients in another order. This gives 6e-7 for DigitNet. It gives 0.009 for the detector,
    because its first steps are not much longer than the rounding of its weights. If both ranks took the same share, it
    would be 0.36 and 0.31; if the losses of unequal shares had the same weight, 0.016 and 0.13.
    """
    assert (one - other).norm() < tolerance * (other - seed_weights).norm()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run of two cycles, plain and augmented, without torchrun."""
    folder = tmp_path_factory.mktemp("alone")
    code, _, messages = finish(folder, PYTHON, SPIED, "--cycles", "2")
    assert code == 0, messages
    return folder


def test_without_torchrun_nothing_is_distributed(alone):
    assert logged(alone, "distributed") == [[False]]


def test_a_run_on_two_ranks_then_one_then_two_does_what_one_rank_does(alone, tmp_path, monkeypatch):
    code, output, messages = finish(tmp_path, TWO_RANKS, SPIED, send=["SIGTERM", 1, 2])  # as if its node were preempted
    assert code != 0
    assert output == ""
    assert messages.count("Starting afresh") == 1
    assert messages.count("Stopped. model.pth holds everything so far; the same command goes on from there.") == 1
    assert logged(tmp_path, "saved") == [[3]]  # once, after the batch that the ranks were on
    assert steps_done(tmp_path) == 3

    code, output, messages = finish(tmp_path, PYTHON, SPIED, "--cycles", "1")
    assert (code, output[:8]) == (0, "cycle 1:"), messages

    code, output, messages = finish(tmp_path, TWO_RANKS, SPIED, "--cycles", "1")
    assert (code, output[:8], output.count("\n")) == (0, "cycle 2:", 1), messages
    assert messages.count("cycle 2  40%") == 1
    assert messages.count("Going on with model.pth after 5 batches") == 1
    assert logged(tmp_path, "saved") == [[3], [5], [10]]
    assert not (tmp_path / "log.1").read_text().count("saved")

    # The same images in every step, to the bit: those that rank 0 and rank 1 prepared, and one rank alone.
    images = logged(alone, "images")
    assert logged(tmp_path, "images") == images
    assert logged(tmp_path, "images", rank=1) == images[:3] + images[5:]
    monkeypatch.setattr(torch.nn, "BatchNorm2d", lambda channels: torch.nn.Identity())
    torch.manual_seed(0)
    seed_weights = torch.cat([tensor.flatten() for tensor in DigitNet().state_dict().values()])
    assert_about_the_same(weights(tmp_path / "model.pth"), weights(alone / "model.pth"), seed_weights, tolerance=1e-4)


def test_pages_are_shared_out_before_they_are_made(tmp_path, monkeypatch):
    arguments = SPIED, "--recipe", "detector", "--cycles", "1"
    code, _, messages = finish(tmp_path / "one", PYTHON, *arguments)
    assert code == 0, messages
    code, output, messages = finish(tmp_path / "two", TWO_RANKS, *arguments)
    assert (code, output.count("\n")) == (0, 1), messages
    first, second = (logged(tmp_path / "two", "numbers", rank) for rank in (0, 1))
    whole = logged(tmp_path / "one", "numbers")
    assert len(whole) == len(first) == len(second) == 2
    for (epoch, numbers), one, other in zip(whole, first, second, strict=True):
        assert one == [epoch, numbers[::2]]
        assert other == [epoch, numbers[1::2]]
    monkeypatch.setattr(torch.nn, "BatchNorm2d", lambda channels: torch.nn.Identity())
    torch.manual_seed(0)
    seed_weights = torch.cat([tensor.flatten() for tensor in Detector().state_dict().values()])
    one, two = (weights(tmp_path / name / "detector.pth") for name in ("one", "two"))
    assert_about_the_same(two, one, seed_weights, tolerance=0.05)


def test_a_torchrun_that_is_told_to_terminate_saves_once_and_ends_all_ranks(tmp_path):
    with start(tmp_path, TWO_RANKS, SMALL) as process:
        while not (tmp_path / "model.pth").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, messages = ended(process)
    assert messages.count("Stopped. model.pth holds everything so far") == 1
    assert "another rank has ended" not in messages
    assert set(load_weights(tmp_path / "model.pth")) == set(DigitNet().state_dict())
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".model.pth.lock", "model.history.jsonl", "model.pth", "model.train.pth"]
    assert steps_done(tmp_path) > 0


@pytest.mark.parametrize("killed", [0, 1])
def test_the_death_of_a_rank_ends_the_job_with_one_clear_line_and_whole_files(killed, tmp_path):
    code, output, messages = finish(tmp_path, TWO_RANKS, SPIED, send=["SIGKILL", killed, 7])
    assert code != 0
    assert output.startswith("cycle 1:")
    line = f"digitnet: rank {1 - killed} of 2: another rank has ended or cannot be reached, so the job ends. The files"
    assert messages.count(line) == 1
    assert steps_done(tmp_path) == 5
    assert torch.load(tmp_path / "model.pth", weights_only=True)


def test_what_keeps_one_rank_from_starting_ends_all_and_is_said_once(tmp_path):
    code, output, messages = finish(tmp_path, TWO_RANKS, SPIED, lacks_data=1)
    assert (code, output) == (1, "")
    assert messages.count("digitnet: ") == messages.count("digitnet: rank 1: no MNIST on this machine") == 1
    assert not (tmp_path / "model.pth").exists()


def test_a_signal_ends_a_rank_that_waits_for_the_others_to_join(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = probe.getsockname()
    for name, value in zip(command.TORCHRUN, ("0", "0", "2", "localhost", str(address[1])), strict=True):
        monkeypatch.setenv(name, value)
    with start(tmp_path, PYTHON, SMALL) as process:
        while not accepts(address):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.terminate()
        ended(process)
    assert process.returncode == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def accepts(address):
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def test_a_signal_after_the_one_that_ended_training_does_nothing():
    interruption = Interruption()
    with interruption.listening():
        with interruption.deferred():
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # as torchrun sends it to all ranks when one has ended


class Group(Ranks):
    """Ranks of one process: the sums are what the test says."""

    def __init__(self, rank, count, sums=None):
        super().__init__(None, rank, count, rank)
        self.sums = sums or (lambda *numbers: list(numbers))

    def wrapped(self, model, device):
        return model


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_and_rank_0_says_so():
    for rank, expected in ((0, ModelError), (1, SystemExit)):
        run = RecipeRun(DigitNet(), "cpu", recipe=QUICK)
        shared = SharedRun(run, Group(rank, 2, lambda *_: [float("nan"), 8.0, 0.0]), Interruption())
        images = torch.rand(4, 1, 28, 28)
        loss = shared.loss(run.model(images), torch.arange(4), images)
        assert loss.isfinite()
        with pytest.raises(expected):
            shared.before_step(loss)
        assert run.step == 0


def test_a_signal_on_another_rank_counts():
    run = RecipeRun(DigitNet(), "cpu", recipe=QUICK)
    images = torch.rand(4, 1, 28, 28)
    for interrupted in (0.0, 1.0):
        shared = SharedRun(run, Group(0, 2, lambda *_: [9.0, 8.0, interrupted]), Interruption())  # noqa: B023
        shared.loss(run.model(images), torch.arange(4), images)
        assert shared.requested == bool(interrupted)


def test_the_losses_of_unequal_shares_weigh_as_in_the_whole_batch():
    """Two pages with one digit and one page with three: the mean over digits is not the mean over pages."""
    run = DetectorRun(Detector(), "cpu", recipe=DETECTOR)
    heat = torch.zeros(3, 10, 8, 8)
    for page, row in ((0, 1), (1, 1), (1, 3), (1, 5), (2, 1)):
        heat[page, 4, row, 2] = 1
    targets = heat, torch.ones(3, 8, 8, dtype=torch.bool), torch.full((3, 4, 8, 8), float("nan"))
    torch.manual_seed(0)
    maps = torch.randn(3, 14, 8, 8)
    whole = run.loss(maps, targets, maps)
    losses = []
    for rank in (0, 1):
        shared = SharedRun(run, Group(rank, 2, lambda loss, count, flag: [loss, 5.0, flag]), Interruption())
        share = tuple(target[rank::2] for target in targets)
        losses.append(shared.loss(maps[rank::2], share, maps))
    assert sum(losses) / 2 == pytest.approx(float(whole))


def test_the_columns_of_unequal_shares_of_strips_weigh_as_in_the_whole_batch():
    """Rows whose text is unknown: a short one for the first rank, and two long ones for the second."""
    run = LineReaderRun(LineReader(), "cpu", recipe=LINE_READER)
    torch.manual_seed(0)
    logits, classes = torch.randn(3, 20, 22), torch.randint(0, 22, (3, 20))
    weights = torch.rand(3, 20) * torch.tensor([[0.1], [1.0], [0.0]])
    unknown = torch.full((3, 1), -1), torch.full((3,), -1)
    targets = classes, torch.rand(3, 20) > 0.5, weights, *unknown
    whole = run.loss(logits, targets, logits)
    losses = []
    for rank in (0, 1):
        total = sum(run.loss_count(tuple(target[each::2] for target in targets)) for each in (0, 1))
        sums = lambda loss, count, flag, total=total: [loss, total, flag]  # noqa: E731
        shared = SharedRun(run, Group(rank, 2, sums), Interruption())
        share = tuple(target[rank::2] for target in targets)
        losses.append(shared.loss(logits[rank::2], share, logits))
    assert sum(losses) / 2 == pytest.approx(float(whole), rel=0.05)


def test_more_ranks_than_a_batch_has_are_refused():
    loader = SimpleNamespace(batch_sampler=ShuffledBatches(10, 4, seed=0))
    run = RecipeRun(DigitNet(), "cpu", recipe=QUICK)
    with pytest.raises(UsageError, match="3 ranks are too many for a batch of 2"):
        next(SharedRun(run, Group(0, 3), Interruption()).batches(loader))


def test_a_device_that_ranks_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(Ranks, "together", contextlib.nullcontext)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, cure in (("mps", "give --device cpu"), ("cuda:0", "give --device cuda"), (None, "--nproc-per-node=1")):
        with pytest.raises(UsageError, match=cure):
            Group(1, 2).device(name)
    with pytest.raises(UsageError, match="only 1 of 2 ranks have a GPU"):
        Group(0, 2, lambda has_gpu: [1.0]).device("cpu")
    assert Group(0, 2).device("cpu").type == "cpu"


def test_the_shares_of_a_batch_are_the_batch():
    batches = list(ShuffledBatches(10, 4, seed=0))
    shares = []
    for rank in range(3):
        sampler = ShuffledBatches(10, 4, seed=0)
        sampler.share = slice(rank, None, 3)
        shares.append(list(sampler))
    for number, batch in enumerate(batches):
        together = [index for share in shares for index in share[number]]
        assert sorted(together) == sorted(batch)
        assert len(together) == len(batch)


def test_an_environment_with_some_of_the_variables_is_no_torchrun(monkeypatch):
    for name in command.TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not command._by_torchrun()
