import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import ROOT, page_of, run_python

from digitnet import Reader, cli
from digitnet.errors import ModelError, UsageError
from digitnet.loop.weights import load_weights
from digitnet.model import DigitNet
from digitnet.reading.adaptation import Adaptation
from digitnet.reading.answer import Risk
from digitnet.reading.lines import Joint
from digitnet.reading.networks import PACKAGED_MODEL, OnnxDigitNet
from digitnet.training import export as exporting
from digitnet.training.calibration import Calibration
from digitnet.training.detector import Detector
from digitnet.training.export import export, to_onnx
from digitnet.training.line_reader import LineReader


def test_onnx_runtime_gives_the_logits_of_torch_for_any_number_of_pictures(exported, weights_path, mnist_digits):
    images = mnist_digits[0][:, np.newaxis]
    model = DigitNet().eval()
    model.load_state_dict(load_weights(weights_path))
    session = onnxruntime.InferenceSession(exported)
    for count in (1, 7, 200):
        logits, probabilities = session.run(["logits", "answers"], {"images": images[:count]})
        expected = model(torch.from_numpy(images[:count])).detach().numpy()
        assert np.abs(logits - expected).max() < 1e-4
        assert probabilities.shape == (count, 11)
        assert probabilities.sum(1) == pytest.approx(1, abs=1e-5)


def test_a_model_whose_logits_disagree_is_refused_and_not_written(weights_path, tmp_path, monkeypatch):
    def converted_wrongly(model, *arguments, converted=exporting._converted):
        with torch.no_grad():
            model.model.head.bias[3] += 0.01
        content = converted(model, *arguments)
        with torch.no_grad():
            model.model.head.bias[3] -= 0.01
        return content

    monkeypatch.setattr(exporting, "_converted", converted_wrongly)
    monkeypatch.setattr(exporting, "calibrate", lambda *_: Calibration(1.0, 1.0, 0.0, ()))
    with pytest.raises(ModelError, match=r"differ by up to 0\.01"):
        export(weights_path, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_features_are_what_the_last_layer_turns_into_logits(exported, weights_path, mnist_digits):
    model = DigitNet().eval()
    model.load_state_dict(load_weights(weights_path))
    session = onnxruntime.InferenceSession(exported)
    logits, features = session.run(["logits", "features"], {"images": mnist_digits[0][:5, np.newaxis]})
    with torch.inference_mode():
        assert np.allclose(model.head(torch.from_numpy(features)).numpy(), logits, atol=1e-4)


def test_a_taught_model_is_merged_into_a_graph_that_gives_its_answers(exported, mnist_digits, tmp_path):
    shift = np.random.default_rng(0).normal(0, 1e-2, (3137, 10)).astype(np.float32)
    taught, plain = tmp_path / "mine.onnx", tmp_path / "plain.onnx"
    taught.write_bytes(Adaptation(shift, 5).adapted(exported))
    export(taught, plain)
    found = onnxruntime.InferenceSession(plain).run(["answers"], {"images": mnist_digits[0][:, np.newaxis]})[0]
    assert np.abs(found - OnnxDigitNet(taught.read_bytes(), "m").probabilities(mnist_digits[0])).max() < 1e-4
    assert OnnxDigitNet(plain.read_bytes(), "m").metadata["taught"] == "5 pictures"


def test_a_model_that_was_not_taught_has_nothing_to_merge(exported, tmp_path):
    (tmp_path / "model.onnx").write_bytes(exported)
    with pytest.raises(ModelError, match="was not taught"):
        export(tmp_path / "model.onnx", tmp_path / "plain.onnx")
    with pytest.raises(UsageError, match="--output"):
        export(tmp_path / "model.onnx")


def test_the_file_is_small_and_names_its_versions_and_weights_but_nothing_of_the_machine(exported):
    assert len(exported) < 2 * 2**20
    proto = onnx.load_from_string(exported)
    assert {entry.key for entry in proto.metadata_props} == {
        f"digitnet.{key}"
        for key in ("normalisation", "calibration", "weights", "temperature", "slope", "offset", "risks")
    }
    assert b"site-packages" not in exported
    assert b"digitnet/model.py" not in exported


def test_the_command_writes_beside_the_weights_and_reading_takes_either_file(
    weights_path, exported, tmp_path, mnist_digits, monkeypatch
):
    own = tmp_path / "mine.pth"
    own.write_bytes(weights_path.read_bytes())
    finished = run_python("-m", "digitnet", "export", own)
    assert (finished.returncode, finished.stdout) == (0, f"{tmp_path / 'mine.onnx'}\n"), finished.stderr
    assert finished.stderr == ""
    monkeypatch.setattr(exporting, "to_onnx", lambda *_, **__: exported)  # of the same weights
    picture = mnist_digits[0][0]
    from_onnx, from_torch = Reader(tmp_path / "mine.onnx").predict(picture), Reader(own).predict(picture)
    assert from_onnx.probabilities == pytest.approx(from_torch.probabilities, abs=1e-5)


def test_weights_that_are_refused_are_not_exported(tmp_path, capsys):
    (tmp_path / "model.pth").write_bytes(b"hello")
    assert cli.main(["export", str(tmp_path / "model.pth")]) == 1
    assert "not a file of PyTorch weights" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()


@pytest.fixture(scope="module")
def exported_detector(tmp_path_factory):
    """The package's detector and its ONNX form."""
    weights = ROOT / "models" / "detector.pth"
    model = Detector().eval()
    model.load_state_dict(load_weights(weights, lambda _: Detector()))
    return model, export(weights, tmp_path_factory.mktemp("detector") / "detector.onnx")


def test_a_detector_is_exported_for_pictures_of_any_size_and_read_with(exported_detector, mnist_digits):
    model, path = exported_detector
    session = onnxruntime.InferenceSession(path)
    for shape in ((1, 1, 64, 96), (2, 1, 160, 32)):
        pages = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        (found,) = session.run(["detections"], {"pages": pages})
        expected = model(torch.from_numpy(pages)).detach().numpy()
        assert found.shape == (shape[0], 14, shape[2] // 4, shape[3] // 4)
        assert np.abs(found - expected).max() < 1e-3
    Reader(detector=path).read(page_of(mnist_digits, ["12"])[0])  # whatever it finds


def test_a_detector_is_no_digitnet(exported_detector):
    _, path = exported_detector
    assert {entry.key for entry in onnx.load(path).metadata_props} == {"digitnet.contrast", "digitnet.weights"}
    with pytest.raises(ModelError, match="not a DigitNet in ONNX"):
        Reader(path)


@pytest.fixture(scope="module")
def exported_line_reader(tmp_path_factory):
    """An untrained line reader, its ONNX form, and the network that its calibration was asked to weigh it with."""
    torch.manual_seed(0)
    model = LineReader().eval()
    folder, asked = tmp_path_factory.mktemp("line-reader"), []
    torch.save(model.state_dict(), folder / "line-reader.pth")

    def calibrate(network, classify, data):
        asked.append(classify)
        return Joint(exists=0.35, agreed=(0.4, 0.3, 0.2)), (Risk(0.5, 0.1), Risk(0.9, 0.001))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "calibrate_joint", calibrate)
        return model, export(folder / "line-reader.pth"), asked


def test_a_line_reader_is_exported_for_strips_of_any_width_and_read_with(exported_line_reader, mnist_digits):
    model, path, _ = exported_line_reader
    assert path.name == "line-reader.onnx"
    session = onnxruntime.InferenceSession(path)
    for count, width in ((1, 4), (3, 48), (2, 1000)):
        strips = np.random.default_rng(0).standard_normal((count, 1, 48, width)).astype(np.float32)
        (found,) = session.run(["columns"], {"strips": strips})
        expected = model(torch.from_numpy(strips)).detach().numpy()
        assert found.shape == (count, width // 4, 22)
        assert np.abs(found - expected).max() < 1e-3
    Reader(line_reader=path).read(page_of(mnist_digits, ["12"])[0])  # whatever it finds


def test_a_line_reader_carries_how_it_is_weighed_with_which_digitnet_and_is_none(exported_line_reader, mnist_digits):
    _, path, (classify,) = exported_line_reader
    found = {entry.key.removeprefix("digitnet."): entry.value for entry in onnx.load(path).metadata_props}
    assert found.keys() == {"contrast", "weights", "digitnet", "joint", "risks"}
    assert Joint.from_json(found["joint"]) == Joint(exists=0.35, agreed=(0.4, 0.3, 0.2))
    packaged = OnnxDigitNet(PACKAGED_MODEL.read_bytes(), "packaged")
    assert found["digitnet"] == packaged.metadata["weights"]
    images = mnist_digits[0][:3]
    assert np.array_equal(classify(images), packaged.probabilities(images))
    with pytest.raises(ModelError, match="not a DigitNet in ONNX"):
        Reader(path)


@pytest.mark.parametrize("network", [Detector, LineReader])
def test_a_network_whose_numbers_disagree_is_refused(tmp_path, monkeypatch, network):
    torch.save(network().state_dict(), tmp_path / "network.pth")

    def converted_wrongly(model, *arguments, converted=exporting._converted):
        with torch.no_grad():
            model.head.bias[3] += 0.01
        proto = converted(model, *arguments)
        with torch.no_grad():
            model.head.bias[3] -= 0.01
        return proto

    monkeypatch.setattr(exporting, "_converted", converted_wrongly)
    monkeypatch.setattr(exporting, "calibrate_joint", lambda *_: (Joint(), ()))
    with pytest.raises(ModelError, match=r"differ by up to 0\.01"):
        export(tmp_path / "network.pth")
    assert not (tmp_path / "network.onnx").exists()


@pytest.mark.parametrize(
    ("network", "name", "option"),
    [(Detector, "detector", "--detector"), (LineReader, "line reader", "--line-reader")],
)
def test_where_a_digitnet_is_wanted_another_network_is_refused_with_its_own_option(tmp_path, network, name, option):
    torch.save(network().state_dict(), tmp_path / "network.pth")
    with pytest.raises(ModelError, match=rf"the weights of a {name}.*{option}.*digitnet export"):
        to_onnx(tmp_path / "network.pth", others=False)
