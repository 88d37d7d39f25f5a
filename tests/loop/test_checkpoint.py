import io
import json
import os
import pickle
import warnings
import zipfile

import pytest
import torch

from digitnet.errors import ModelError, SaveError
from digitnet.loop import checkpoint as checkpoints
from digitnet.loop.checkpoint import Checkpoint
from digitnet.loop.run import TrainingRun
from digitnet.loop.weights import load_weights, shapes
from digitnet.model import DigitNet


def fresh_run():
    return TrainingRun(DigitNet(), "cpu")


def trained(run, steps=1):
    for _ in range(steps):
        loss = run.model(torch.rand(4, 1, 28, 28)).square().mean()
        run.optimizer.zero_grad()
        loss.backward()
        run.before_step(loss)
        run.optimizer.step()
        run.after_step(loss)
    return run


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with one save in it, and the run that was saved."""
    checkpoint, run = Checkpoint(tmp_path / "model.pth"), trained(fresh_run())
    checkpoint.resume(run)
    checkpoint.history.append({"cycle": 1})
    checkpoint.save(run)
    return checkpoint, run


def weight(run):
    return run.average.module.head.weight


def test_the_line_that_everybody_writes_loads_the_averaged_weights(saved):
    checkpoint, run = saved
    model = DigitNet()
    model.load_state_dict(torch.load(checkpoint.model_path))
    assert torch.equal(model.head.weight, weight(run))


def test_a_saved_run_goes_on_where_it_was(saved):
    checkpoint, run = saved
    again, later = Checkpoint(checkpoint.model_path), fresh_run()
    assert "Going on" in again.resume(later)
    assert later.step == run.step == 1
    assert torch.equal(later.model.head.weight, run.model.head.weight)
    assert again.history == [{"cycle": 1}]


def test_history_is_a_line_of_json_a_cycle(saved):
    checkpoint, run = saved
    checkpoint.history.append({"cycle": 2})
    checkpoint.save(run)
    lines = (checkpoint.model_path.parent / "model.history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"cycle": 1}, {"cycle": 2}]


@pytest.mark.parametrize("saves_before", [0, 1])
@pytest.mark.parametrize("killed_before", ["model.train.pth", "model.pth", "model.history.jsonl"])
def test_killed_between_two_files_of_a_save_the_newest_whole_state_goes_on(
    saves_before, killed_before, tmp_path, monkeypatch
):
    checkpoint, run = Checkpoint(tmp_path / "model.pth"), fresh_run()
    checkpoint.resume(run)
    for _ in range(saves_before):
        checkpoint.save(trained(run))

    class Killed(BaseException):
        pass

    write = checkpoints.write_atomically

    def write_until(path, content):
        if path.name == killed_before:
            raise Killed
        write(path, content)

    monkeypatch.setattr(checkpoints, "write_atomically", write_until)
    with pytest.raises(Killed):
        checkpoint.save(trained(run))
    monkeypatch.undo()

    later = fresh_run()
    Checkpoint(tmp_path / "model.pth").resume(later)
    assert later.step == saves_before + (killed_before != "model.train.pth")
    if later.step:
        assert torch.equal(load_weights(tmp_path / "model.pth")["head.weight"], weight(later))


def test_a_save_that_fails_leaves_all_files_as_they_were(saved, monkeypatch):
    checkpoint, run = saved
    before = {path.name: path.read_bytes() for path in checkpoint.model_path.parent.iterdir()}
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SaveError, match="No space left"):
        checkpoint.save(trained(run))
    assert {path.name: path.read_bytes() for path in checkpoint.model_path.parent.iterdir()} == before


def test_weights_that_came_alone_are_trained_on(weights_path, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(weights_path.read_bytes())
    run = fresh_run()
    assert "Starting from the weights" in Checkpoint(path).resume(run)
    assert torch.equal(run.model.head.weight, torch.load(path)["head.weight"])


def test_a_training_state_of_other_weights_is_set_aside_and_kept(saved, weights_path):
    checkpoint, _ = saved
    state = checkpoint.training_path.read_bytes()
    checkpoint.save(trained(fresh_run()))  # a second save, so that the first is not what this one replaced
    state = checkpoint.training_path.read_bytes()
    for foreign in (weights_path.read_bytes(), None):
        checkpoint.training_path.write_bytes(state)
        if foreign is None:
            checkpoint.model_path.unlink()
        else:
            checkpoint.model_path.write_bytes(foreign)
        message = Checkpoint(checkpoint.model_path).resume(fresh_run())
        aside = list(checkpoint.model_path.parent.glob("model.train.*.pth"))
        assert [path.read_bytes() for path in aside] == [state]
        assert str(aside[0]) in message
        aside[0].unlink()


class RunsCode:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def pickled(content, marker):
    return pickle.dumps({"head.weight": RunsCode(marker)})


def as_zip(content, marker):
    buffer = io.BytesIO()
    torch.save({"head.weight": RunsCode(marker)}, buffer)
    return buffer.getvalue()


def serialised(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def other_network():
    return serialised(torch.nn.Sequential(torch.nn.Linear(784, 10)).state_dict())


def wider_network():
    return serialised({**DigitNet().state_dict(), "head.weight": torch.zeros(10, 128)})


def not_finite():
    return serialised({**DigitNet().state_dict(), "head.bias": torch.full((10,), torch.nan)})


def absurdly_wide():
    """A small file whose tensor claims to be large: its numbers are all the same one."""
    return serialised({"features.0.weight": torch.zeros(1).expand(10_000_000, 1, 5, 5)})


def with_one_more(name, tensor):
    return serialised({**DigitNet().state_dict(), name: tensor})


def with_head(tensor):
    return with_one_more("head.weight", tensor)


def compressed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's is a beta
        return torch.zeros(10, 3136).to_sparse_csr()


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, but such files are there
        return torch.quantize_per_tensor(torch.zeros(10, 3136), 0.1, 0, torch.qint8)


def bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\0" * 200_000_000)
    return buffer.getvalue()


REFUSED = {
    "a pickle that runs code": (lambda whole, marker: pickled(whole, marker), "run code"),
    "a torch file that runs code": (lambda whole, marker: as_zip(whole, marker), "run code"),
    "truncated": (lambda whole, marker: whole[: len(whole) // 2], "damaged or truncated"),
    "cut by one byte": (lambda whole, marker: whole[:-1], "damaged or truncated"),
    "empty": (lambda whole, marker: b"", "damaged or truncated"),
    "a text": (lambda whole, marker: b"hello", "not a file of PyTorch weights"),
    "another network": (lambda whole, marker: other_network(), "another network.*0.weight|missing"),
    "another size": (lambda whole, marker: wider_network(), r"head\.weight is \(10, 128\)"),
    "not finite": (lambda whole, marker: not_finite(), "not finite"),
    "a tensor": (lambda whole, marker: serialised(torch.zeros(3)), "holds a Tensor"),
    "numbers for names": (lambda whole, marker: serialised({0: torch.zeros(3)}), "not the weights"),
    "a name and a number": (lambda whole, marker: with_one_more(0, torch.zeros(3)), "not the weights"),
    "sparse": (lambda whole, marker: with_head(torch.zeros(10, 3136).to_sparse()), "not the weights"),
    "compressed sparse": (lambda whole, marker: with_head(compressed()), "not the weights"),
    "complex": (lambda whole, marker: with_head(torch.zeros(10, 3136, dtype=torch.complex64)), "not the weights"),
    "without its numbers": (lambda whole, marker: with_head(torch.zeros(10, 3136, device="meta")), "not the weights"),
    "quantised": (lambda whole, marker: with_head(quantised()), "not the weights"),
    "another network in a checkpoint": (lambda whole, marker: serialised({"model": {"a": torch.zeros(1)}}), "missing"),
    "no weights in a checkpoint": (lambda whole, marker: serialised({"model": {"epoch": 3}}), "not the weights"),
    "absurdly wide": (lambda whole, marker: absurdly_wide(), "another network"),
    "a bomb": (lambda whole, marker: bomb(), "far larger"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_not_digitnets_weights_is_refused_and_left_as_it_is(kind, weights_path, tmp_path):
    make, words = REFUSED[kind]
    path, marker = tmp_path / "model.pth", tmp_path / "ran"
    content = make(weights_path.read_bytes(), marker)
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as refused:
        Checkpoint(path).resume(fresh_run())
    assert str(path) in str(refused.value)
    assert not marker.exists()
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


WRAPPED = {
    "by DistributedDataParallel": lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()},
    "by torch.compile and DDP": lambda weights: {
        f"_orig_mod.module.{name}": tensor for name, tensor in weights.items()
    },
    "by Lightning": lambda weights: {
        "state_dict": {f"model.{name}": tensor for name, tensor in weights.items()},
        "epoch": 3,
    },
    "in a checkpoint": lambda weights: {"model": weights, "optimizer": {"lr": 0.1}},
    "as in PyTorch's tutorial": lambda weights: {"model_state_dict": weights, "epoch": 3},
    "in float16": lambda weights: {name: tensor.half() for name, tensor in weights.items()},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_that_were_wrapped_are_loaded(kind, tmp_path):
    weights = DigitNet().half().float().state_dict()
    (tmp_path / "model.pth").write_bytes(serialised(WRAPPED[kind](weights)))
    loaded = load_weights(tmp_path / "model.pth")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
    assert "Starting from the weights" in Checkpoint(tmp_path / "model.pth").resume(fresh_run())


@pytest.mark.parametrize(
    "damage", [lambda c: c[:1000], lambda c: serialised({"a": 1}), lambda c: as_zip(c, "/nowhere")]
)
def test_a_damaged_training_state_is_refused_and_left_as_it_is(damage, saved):
    checkpoint, _ = saved
    content = damage(checkpoint.training_path.read_bytes())
    checkpoint.training_path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.train\.pth"):
        Checkpoint(checkpoint.model_path).resume(fresh_run())
    assert checkpoint.training_path.read_bytes() == content


def test_a_run_of_another_recipe_or_size_is_refused_and_nothing_changes(saved):
    checkpoint, _ = saved
    before = {path.name: path.read_bytes() for path in checkpoint.model_path.parent.iterdir()}
    other, larger = fresh_run(), TrainingRun(DigitNet(24, deep=True), "cpu")
    other.recipe_name = "other"
    for run, words in ((other, "a run of the recipe 'quick', not 'other'"), (larger, "of another size")):
        with pytest.raises(ModelError, match=words):
            Checkpoint(checkpoint.model_path).resume(run)
    assert {path.name: path.read_bytes() for path in checkpoint.model_path.parent.iterdir()} == before


@pytest.mark.parametrize("deep", [False, True])
def test_weights_of_any_size_are_loaded(deep, tmp_path):
    model = DigitNet(8, deep=deep)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    again = DigitNet.like(load_weights(tmp_path / "model.pth"))
    assert shapes(again.state_dict()) == shapes(model.state_dict())


def test_a_training_state_that_lacks_a_part_is_refused(saved):
    checkpoint, _ = saved
    content = torch.load(checkpoint.training_path, weights_only=True)
    for part in content["run"]:
        run = {name: value for name, value in content["run"].items() if name != part}
        checkpoint.training_path.write_bytes(serialised({**content, "run": run}))
        with pytest.raises(ModelError, match="not a training state"):
            Checkpoint(checkpoint.model_path).resume(fresh_run())


def test_every_byte_flipped_or_cut_is_refused_or_still_digitnets_shape(weights_path, tmp_path):
    """A flipped bit inside a number cannot be told from a weight; anything else that loads must be whole."""
    whole = weights_path.read_bytes()
    path = tmp_path / "model.pth"
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(0, len(whole), (60,), generator=generator).tolist():
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                loaded = load_weights(path)
            except ModelError:
                continue
            DigitNet().load_state_dict(loaded)
