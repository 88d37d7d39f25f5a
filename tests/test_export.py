import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import run_python

from digitnet import Reader
from digitnet import export as exporting
from digitnet.checkpoint import load_weights
from digitnet.errors import ModelError
from digitnet.export import export, to_onnx
from digitnet.model import DigitNet


@pytest.fixture(scope="module")
def exported(weights_path):
    return to_onnx(weights_path)


def test_onnx_runtime_gives_the_logits_of_torch_for_any_number_of_pictures(exported, weights_path, mnist_digits):
    images = mnist_digits[0][:, np.newaxis]
    model = DigitNet().eval()
    model.load_state_dict(load_weights(weights_path))
    session = onnxruntime.InferenceSession(exported)
    for count in (1, 7, 200):
        logits, answers = session.run(["logits", "answers"], {"images": images[:count]})
        expected = model(torch.from_numpy(images[:count])).detach().numpy()
        assert np.abs(logits - expected).max() < 1e-4
        assert answers.shape == (count, 11)
        assert answers.sum(1) == pytest.approx(1, abs=1e-5)


def test_a_model_whose_logits_disagree_is_refused_and_not_written(weights_path, tmp_path, monkeypatch):
    def converted_wrongly(model, metadata, converted=exporting._converted):
        with torch.no_grad():
            model.model.head.bias[3] += 0.01
        content = converted(model, metadata)
        with torch.no_grad():
            model.model.head.bias[3] -= 0.01
        return content

    monkeypatch.setattr(exporting, "_converted", converted_wrongly)
    with pytest.raises(ModelError, match=r"differ by up to 0\.01"):
        export(weights_path, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_small_and_tells_of_its_normalisation_and_weights_but_not_of_the_machine(exported):
    assert len(exported) < 2 * 2**20
    proto = onnx.load_from_string(exported)
    assert {entry.key for entry in proto.metadata_props} == {
        f"digitnet.{key}" for key in ("normalisation", "weights", "temperature", "slope", "offset", "risks")
    }
    assert b"site-packages" not in exported
    assert b"digitnet/model.py" not in exported


def test_the_command_writes_beside_the_weights_and_reading_takes_either_file(weights_path, tmp_path, mnist_digits):
    own = tmp_path / "mine.pth"
    own.write_bytes(weights_path.read_bytes())
    finished = run_python("-m", "digitnet", "export", own)
    assert (finished.returncode, finished.stdout) == (0, f"{tmp_path / 'mine.onnx'}\n"), finished.stderr
    assert finished.stderr == ""
    picture = mnist_digits[0][0]
    from_onnx, from_torch = Reader(tmp_path / "mine.onnx").predict(picture), Reader(own).predict(picture)
    assert from_onnx.probabilities == pytest.approx(from_torch.probabilities, abs=1e-5)


def test_weights_that_are_refused_are_not_exported(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"hello")
    finished = run_python("-m", "digitnet", "export", tmp_path / "model.pth")
    assert finished.returncode == 1
    assert "not a file of PyTorch weights" in finished.stderr
    assert not (tmp_path / "model.onnx").exists()
