import csv
import io
import pickle
import threading

import numpy as np
import onnx
import pytest
import torch
from helpers import ROOT, page_of, run_python
from onnx import TensorProto, helper
from PIL import Image, ImageDraw

import digitnet
from digitnet import Reader
from digitnet.errors import ImageError, ModelError, UsageError
from digitnet.reading import drawing as drawing_module
from digitnet.results import Box, Line, Page

SAMPLES = ROOT / "samples"


def sample_rows():
    with open(SAMPLES / "labels.csv", newline="") as file:
        return [(SAMPLES / row["file"], int(row["label"])) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("path", "label"), sample_rows(), ids=lambda value: getattr(value, "name", None))
def test_every_sample_is_read(path, label, reader):
    digit = reader.predict(path)
    assert digit.digit == digit.best_guess == label
    assert digit.reason is None
    assert max(digit.probabilities) == digit.probabilities[label] > digit.confidence - 1e-9 > 0.5
    assert sum(digit.probabilities) == pytest.approx(1, abs=1e-5)


def test_mnist_test_digits_are_read_white_on_black_and_black_on_white(reader, mnist_digits):
    images, labels = mnist_digits
    for pictures in (images, 1 - images):
        digits = reader.predict_many(pictures)
        right = sum(digit.best_guess == label for digit, label in zip(digits, labels, strict=True))
        answered = [
            (digit.digit, label) for digit, label in zip(digits, labels, strict=True) if digit.digit is not None
        ]
        assert right >= 198
        assert len(answered) >= 190
        assert all(digit == label for digit, label in answered)


def test_many_pictures_give_the_same_digits_as_one_by_one_in_order(reader, mnist_digits):
    pictures = [*mnist_digits[0][:150], np.ones((30, 30)), SAMPLES / "marker-2.jpg"]
    together, alone = reader.predict_many(pictures), [reader.predict(picture) for picture in pictures]
    assert [digit.digit for digit in together] == [digit.digit for digit in alone]
    assert np.allclose([d.probabilities for d in together], [d.probabilities for d in alone], atol=1e-5)
    assert [digit.box for digit in together] == [digit.box for digit in alone]


def test_digits_in_a_very_long_picture_have_their_boxes(reader, mnist_digits):
    images, labels = mnist_digits
    page, lefts, shown = np.full((40, 12_000), 255, np.uint8), range(60, 12_000, 750), (7, 2, 3, 0)
    for place, left in enumerate(lefts):
        digit = images[np.flatnonzero(labels == shown[place % len(shown)])[1]]
        page[6:34, left : left + 28] = 255 - 255 * digit
    found = reader.read(page).digits
    assert [digit.best_guess for digit in found] == list(shown) * (len(lefts) // len(shown))
    for left, box in zip(lefts, (digit.box for digit in found), strict=True):
        rows, columns = np.nonzero(page[:, left : left + 28] < 128)
        ink = left + columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
        assert np.abs(np.subtract((box.x, box.y, box.width, box.height), ink)).max() <= 3


def test_no_pictures_give_no_digits(reader):
    assert reader.predict_many([]) == []


@pytest.mark.parametrize(
    "one", ["samples", SAMPLES, b"picture", io.BytesIO(b"picture")], ids=lambda one: type(one).__name__
)
def test_one_picture_or_folder_is_not_taken_for_many(one, reader):
    for function in (reader.predict_many, lambda one: reader.teach(one, [7])):
        with pytest.raises(UsageError, match="is one picture or folder; give a list of pictures"):
            function(one)


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


def drawn(*strokes, width=9, ink=0):
    image = Image.new("L", (300, 200), 255)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, fill=ink, width=width, joint="curve")
    return image


SEVEN = [(110, 50), (160, 50), (130, 150)]
NOT_DIGITS = {
    "a cross": [[(100, 50), (200, 150)], [(100, 150), (200, 50)]],
    "a scribble": [[(90, 60), (200, 140), (95, 150), (210, 70), (140, 170), (150, 40), (220, 160), (90, 100)]],
    "a hash": [[(120, 40), (110, 160)], [(180, 40), (170, 160)], [(90, 80), (210, 80)], [(90, 120), (210, 120)]],
}


@pytest.mark.parametrize("kind", NOT_DIGITS)
def test_what_is_no_digit_is_withheld_as_such_and_still_guessed(kind, reader):
    picture = drawn(*NOT_DIGITS[kind])
    digit = reader.predict(picture)
    assert (digit.digit, digit.reason) == (None, "not a digit")
    assert digit.best_guess == Reader(max_error=None).predict(picture).digit
    assert digit.confidence < 0.5


def moved(stroke, right):
    return [(x + right, y) for x, y in stroke]


@pytest.mark.parametrize("apart", [75, 120])
def test_more_than_one_digit_is_said_near_and_far_apart(apart, reader):
    two = drawn(moved(SEVEN, -90), moved(SEVEN, -90 + apart))
    assert reader.predict(two).reason == "more than one digit"
    assert reader.predict_many([two])[0].reason == "more than one digit"
    assert reader.predict(drawn(moved(SEVEN, -90))).digit == 7


def test_faint_ink_that_leaves_a_doubt_is_too_faint(reader):
    digit = reader.predict(drawn(*NOT_DIGITS["a scribble"], ink=240))
    assert (digit.digit, digit.reason) == (None, "too faint")


def test_the_user_sets_how_many_answers_may_be_wrong(mnist_digits):
    pictures = list(mnist_digits[0]) + [drawn(*strokes) for strokes in NOT_DIGITS.values()]
    answered = [
        sum(digit.digit is not None for digit in Reader(max_error=max_error).predict_many(pictures))
        for max_error in (0.0005, 0.005, 0.05, None)
    ]
    assert answered == sorted(answered)
    assert answered[0] < answered[-1] == len(pictures)
    with pytest.raises(UsageError, match="fraction"):
        Reader(max_error=1.5)


def test_normalised_images_are_read_as_they_are(reader, mnist_digits):
    images, labels = mnist_digits
    digits = reader.predict_normalised(images)
    assert np.mean([digit.best_guess == label for digit, label in zip(digits, labels, strict=True)]) >= 0.99
    assert reader.predict_normalised(images[:0]) == []


def test_normalised_images_may_be_of_any_number_type(reader, mnist_digits):
    images = (mnist_digits[0][:5] * 255).round().astype(np.uint8)
    expected = reader.predict_normalised((images / np.float32(255)).astype(np.float32))
    assert reader.predict_normalised(images / 255) == expected  # float64
    assert reader.predict_normalised(torch.from_numpy(images / 255)) == expected


def test_normalised_images_without_ink_are_blank(reader, mnist_digits):
    images = np.stack([np.zeros((28, 28)), mnist_digits[0][0], np.ones((28, 28))])
    assert [digit.reason for digit in reader.predict_normalised(images)] == ["blank", None, "blank"]
    assert reader.predict_normalised(images)[0] == reader.predict(np.zeros((28, 28)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((28, 28)), r"shape \(28, 28\) .*\(N, 28, 28\)"),
        (np.zeros((5, 1, 28, 28)), r"shape \(5, 1, 28, 28\)"),
        (np.full((1, 28, 28), 255, np.uint8), "values from 255 to 255; use"),
        (np.full((1, 28, 28), np.nan), "values from nan"),
    ],
)
def test_what_is_no_normalised_image_is_refused_with_what_to_give(images, message, reader):
    with pytest.raises(ImageError, match=message):
        reader.predict_normalised(images)


def test_a_model_in_a_file_reads_too_and_says_which_file_it_is(reader, mnist_digits):
    path = ROOT / "digitnet" / "weights" / "digitnet.onnx"
    own = Reader(path)
    images, _ = mnist_digits
    assert own.predict_many(images[:50]) == reader.predict_many(images[:50])
    assert own.about["model"] == str(path) != reader.about["model"]
    assert {"weights", "normalisation", "temperature"} <= own.about.keys()
    assert own.checksums == reader.checksums
    assert set(own.checksums) == {"model", "detector", "line reader"}


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


PNG = b"\x89PNG"


def test_a_notebook_shows_what_the_network_saw_of_a_digit(reader, seven):
    digit = reader.predict(seven)
    assert digit._repr_png_().startswith(PNG)
    assert pickle.loads(pickle.dumps(digit)).draw().size == digit.draw().size
    assert digit == reader.predict_many([seven])[0]
    bare = reader.predict_many([seven])[0]
    assert bare._repr_png_() is None  # the text is shown
    with pytest.raises(ValueError, match="no picture to draw on"):
        bare.draw()


def test_a_notebook_shows_a_page_with_boxes_and_a_short_text(mnist_digits):
    page = Reader(max_error=None).read(page_of(mnist_digits, ["0123", "45"])[0])
    assert page._repr_png_().startswith(PNG)
    assert repr(page) == f"Page({page.width}x{page.height}, ['0123', '45'])"
    assert repr(page.lines[0]).startswith("Line('0123', confidence=")


def test_a_page_of_many_lines_has_a_short_text_too():
    line = Line((), 0.5, Box(0, 0, 1, 1))
    page = Page(9, 9, (line,) * 2000)
    assert len(repr(page)) < 100
    assert "2,000 lines" in repr(page)
    assert page._repr_png_() is None


@pytest.mark.parametrize("kind", ["picture", "file"])
def test_the_box_is_drawn_around_the_ink_of_a_large_photo(reader, seven, tmp_path, kind):
    large = Image.new("L", (4000, 3000), 255)
    large.paste(seven.resize((600, 600)), (3000, 2000))
    large.save(tmp_path / "large.png")
    drawing = np.asarray(reader.predict(large if kind == "picture" else tmp_path / "large.png").draw())
    left, top = drawing_module.MARGIN, drawing_module.MARGIN + drawing_module.CAPTION
    panel = drawing[top : top + drawing_module.PANEL, left : left + drawing_module.PANEL].astype(int)
    rows, columns = np.nonzero((panel[..., 2] - panel[..., 0]) > 150)  # the colour of the box
    scale, border = drawing_module.PANEL / 4000, (drawing_module.PANEL - 0.75 * drawing_module.PANEL) / 2
    assert [columns.min(), columns.max()] == pytest.approx([3152 * scale, 3417 * scale], abs=6)
    assert [rows.min() - border, rows.max() - border] == pytest.approx([2130 * scale, 2495 * scale], abs=6)


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


@pytest.mark.parametrize("read_before", [False, True])
def test_a_reader_can_be_pickled_and_reads_the_same(read_before, mnist_digits):
    reader = Reader(max_error=0.02)
    if read_before:
        reader.read(SAMPLES / "marker-2.jpg")
    content = pickle.dumps(reader)
    assert len(content) < 2**20
    copy = pickle.loads(content)
    assert copy.predict_many(mnist_digits[0]) == reader.predict_many(mnist_digits[0])
    assert copy.read(SAMPLES / "marker-2.jpg") == reader.read(SAMPLES / "marker-2.jpg")
    assert copy.about == reader.about


def test_a_page_keeps_little_of_its_picture_and_still_draws_it(reader, mnist_digits):
    grey, _ = page_of(mnist_digits, ["0123456789"] * 8, height=100)
    page = reader.read(np.kron(grey, np.ones((2, 2))))
    assert len(pickle.dumps(page)) < grey.nbytes / 4
    assert min(page.draw().size) > 500


@pytest.mark.parametrize(
    "changed", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes() + b" ")]
)
@pytest.mark.parametrize("read", ["read", "predict"])
def test_what_was_read_is_not_drawn_on_another_picture(reader, seven, tmp_path, read, changed):
    path = tmp_path / "seven.png"
    seven.save(path)
    found = getattr(reader, read)(path)
    assert found.draw().size
    changed(path)
    with pytest.raises(ImageError, match=r"seven\.png: is gone or has changed since it was read; read it again"):
        found.draw()


def test_a_reader_with_another_max_error_has_the_same_lessons(reader, seven):
    never = reader.with_max_error(0)
    assert never.predict(seven).digit is None
    assert never.predict(seven).best_guess == reader.predict(seven).digit == 7
    assert (never.max_error, reader.max_error, never.about) == (0, 0.003, reader.about)
    with pytest.raises(UsageError):
        reader.with_max_error(2)


def test_a_batch_of_tensors_is_read_as_its_array_is(reader, mnist_digits):
    images = mnist_digits[0][:5]
    tensors = torch.from_numpy(images).unsqueeze(1)
    assert reader.predict_many(tensors) == reader.predict_many(images)
    assert reader.predict(tensors[0]) == reader.predict(images[0])


def test_a_drawing_shows_the_picture_the_28x28_and_the_bars(reader):
    drawing = reader.predict(SAMPLES / "marker-2.jpg").draw()
    blank = reader.predict(np.ones((60, 60))).draw()
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
    from digitnet.reading.normalise import VERSION

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
    assert "pip install '.[train]'" in finished.stdout, finished.stderr
