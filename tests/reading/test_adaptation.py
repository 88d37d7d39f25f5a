import json

import numpy as np
import onnx
import pytest

from digitnet import Reader
from digitnet.errors import ModelError
from digitnet.reading.adaptation import KEY, Adaptation, split
from digitnet.reading.networks import PACKAGED_MODEL, OnnxDigitNet


@pytest.fixture(scope="module")
def base():
    return PACKAGED_MODEL.read_bytes()


@pytest.fixture(scope="module")
def adaptation():
    return Adaptation(np.random.default_rng(0).normal(0, 1e-3, (3137, 10)).astype(np.float32), 7)


def lesson_in(content):
    return {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}[KEY]


def test_an_adapted_file_gives_back_its_base_and_its_adaptation(base, adaptation):
    content = adaptation.adapted(base)
    found_base, found = split(content, lesson_in(content), "mine.onnx")
    assert found_base == base
    assert found.pictures == 7
    assert np.array_equal(found.shift, adaptation.shift)


def test_without_a_shift_the_numbers_are_those_of_the_graph(base, mnist_digits):
    nothing = Adaptation(np.zeros((3137, 10), np.float32), 0).adapted(base)
    graph, numpy = (OnnxDigitNet(content, "m").probabilities(mnist_digits[0]) for content in (base, nothing))
    assert np.abs(graph - numpy).max() < 1e-5


def test_an_adaptation_shifts_the_last_layer(base, adaptation, mnist_digits):
    model, taught = OnnxDigitNet(base, "m"), OnnxDigitNet(adaptation.adapted(base), "m")
    logits, features = model.logits_and_features(mnist_digits[0])
    expected = logits + features @ adaptation.shift[:-1] + adaptation.shift[-1]
    assert np.allclose(taught.logits_and_features(mnist_digits[0])[0], expected, atol=1e-4)
    assert np.abs(taught.probabilities(mnist_digits[0]) - model.calibrated(expected)).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "taught by another version"),
        ({"shift": "AAAA"}, "damaged"),
        ({"base": {"bytes": 10, "checksum": "0"}}, "damaged"),
        ({"shape": None}, "damaged"),
    ],
)
def test_a_lesson_of_another_version_or_a_damaged_one_is_refused(base, adaptation, tmp_path, change, message):
    proto = onnx.load_from_string(adaptation.adapted(base))
    for entry in proto.metadata_props:
        if entry.key == KEY:
            entry.value = json.dumps(json.loads(entry.value) | change)
    path = tmp_path / "mine.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=message):
        Reader(path)


def test_a_file_without_features_reads_but_cannot_be_taught(base, tmp_path, seven):
    proto = onnx.load_from_string(base)
    kept = [output for output in proto.graph.output if output.name != "features"]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    path = tmp_path / "old.onnx"
    path.write_bytes(proto.SerializeToString())
    reader = Reader(path)
    assert reader.predict(seven).digit == 7
    with pytest.raises(ModelError, match="export it anew"):
        reader.teach([seven], [1])
