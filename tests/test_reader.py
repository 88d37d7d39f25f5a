import csv
import threading

import numpy as np
import onnx
import pytest
from helpers import ROOT, run_python
from onnx import TensorProto, helper
from PIL import Image

import digitnet
from digitnet import Reader
from digitnet.errors import ImageError, ModelError

SAMPLES = ROOT / "samples"


def sample_rows():
    with open(SAMPLES / "labels.csv", newline="") as file:
        return [(SAMPLES / row["file"], int(row["label"])) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("path", "label"), sample_rows(), ids=lambda value: getattr(value, "name", None))
def test_every_sample_is_read(path, label, reader):
    digit = reader.predict(path)
    assert digit.digit == digit.best_guess == label
    assert digit.reason is None
    assert digit.confidence == max(digit.probabilities) == digit.probabilities[label]
    assert sum(digit.probabilities) == pytest.approx(1, abs=1e-5)


def test_mnist_test_digits_are_read_white_on_black_and_black_on_white(reader, mnist_digits):
    images, labels = mnist_digits
    for pictures in (images, 1 - images):
        right = sum(d.digit == label for d, label in zip(reader.predict_many(pictures), labels, strict=True))
        assert right >= 198


def test_many_pictures_give_the_same_digits_as_one_by_one_in_order(reader, mnist_digits):
    pictures = [*mnist_digits[0][:150], np.ones((30, 30)), SAMPLES / "marker-2.jpg"]
    together, alone = reader.predict_many(pictures), [reader.predict(picture) for picture in pictures]
    assert [digit.digit for digit in together] == [digit.digit for digit in alone]
    assert np.allclose([d.probabilities for d in together], [d.probabilities for d in alone], atol=1e-5)
    assert [digit.box for digit in together] == [digit.box for digit in alone]


def test_no_pictures_give_no_digits(reader):
    assert reader.predict_many([]) == []


def test_one_bad_picture_among_many_is_named(reader):
    with pytest.raises(ImageError, match="picture 2"):
        reader.predict_many([np.ones((28, 28)), np.ones((28, 28)), np.ones(28)])


def test_a_blank_picture_is_withheld_as_blank(reader):
    digit = reader.predict(np.full((100, 80), 0.9))
    assert (digit.digit, digit.reason, digit.best_guess, digit.confidence, digit.box) == (
        None,
        "blank",
        None,
        0.0,
        None,
    )
    assert digit.probabilities == (0.1,) * 10


def test_the_box_is_in_pixels_of_the_upright_picture_as_given(reader, seven):
    large = Image.new("L", (4000, 3000), 255)
    large.paste(seven.resize((600, 600)), (1000, 2000))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    turned = large.transpose(Image.Transpose.ROTATE_90)
    turned.info["exif"] = exif.tobytes()
    turned.getexif()[0x0112] = 6
    for picture in (large, turned):
        box = reader.predict(picture).box
        assert (box.x, box.y) == pytest.approx((1000 + 152, 2000 + 130), abs=20)
        assert (box.width, box.height) == pytest.approx((265, 365), abs=40)


def test_threads_may_share_a_reader(reader, mnist_digits):
    images, _ = mnist_digits
    expected = [reader.predict(image).digit for image in images[:40]]
    found = {}

    def read(number):
        found[number] = [reader.predict(image).digit for image in images[:40]]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 4


def test_the_explanation_shows_the_picture_the_28x28_and_the_bars(reader):
    drawing = reader.explain(SAMPLES / "marker-2.jpg")
    blank = reader.explain(np.ones((60, 60)))
    assert drawing.size == blank.size
    pixels = np.asarray(drawing).reshape(-1, 3)
    assert {(0, 0, 0), (10, 100, 216)} <= {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}
    assert drawing.tobytes() != blank.tobytes()


def test_the_package_itself_predicts():
    assert digitnet.predict(SAMPLES / "marker-2.jpg").digit == 2


def linear_model(inputs, outputs):
    """An ONNX model that is valid and no DigitNet."""
    node = helper.make_node("MatMul", ["images", "weights"], ["logits"])
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [inputs, outputs], [0.0] * (inputs * outputs))
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, inputs, inputs])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_a_model_file_that_is_no_digitnet_is_refused_by_name(tmp_path):
    path = tmp_path / "mine.onnx"
    for content in (b"", b"hello", linear_model(5, 10).SerializeToString(), linear_model(28, 3).SerializeToString()):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"mine\.onnx"):
            Reader(path)
    with pytest.raises(ModelError, match="No such file"):
        Reader(tmp_path / "missing.onnx")


def test_the_packages_model_says_how_its_pictures_are_normalised():
    from digitnet.normalise import VERSION

    model = onnx.load(ROOT / "digitnet" / "weights" / "digitnet.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["digitnet.normalisation"] == str(VERSION)


def test_pytorch_weights_without_pytorch_say_what_to_do(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"")
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from digitnet import Reader\nfrom digitnet.errors import MissingExtraError\n"
        "try: Reader('model.pth')\nexcept MissingExtraError as error: print(error)"
    )
    finished = run_python("-c", script, cwd=tmp_path)
    assert "pip install 'digitnet[train]'" in finished.stdout, finished.stderr
