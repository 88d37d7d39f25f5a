import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from scenes import SCENES, render

from digitnet.reading.load import load
from digitnet.reading.normalise import BOX_SIDE, SIDE, normalise


def seen(picture):
    return normalise(load(picture).grey)


def difference(one, other):
    """The mean difference of two images, where rounding may have moved one of them by a pixel."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(np.abs(np.roll(one, shift, (0, 1)) - other).mean() for shift in shifts)


def seven_at(x, y, size=120, canvas=(400, 300), width=9, colours=(255, 0)):
    paper, ink = colours
    image = Image.new("L", canvas, paper)
    points = [(x + size * 0.1, y), (x + size * 0.7, y), (x + size * 0.4, y + size)]
    ImageDraw.Draw(image).line(points, fill=ink, width=width, joint="curve")
    return image


def test_dark_ink_on_white_paper_and_its_negative_look_the_same():
    positive = seven_at(140, 90)
    negative = Image.eval(positive, lambda value: 255 - value)
    assert np.abs(seen(positive).image - seen(negative).image).max() < 0.02


@pytest.mark.parametrize("corner", [(5, 5), (270, 170), (5, 170), (140, 90)])
def test_a_digit_looks_the_same_wherever_it_lies(corner):
    reference, moved = seen(seven_at(140, 90)), seen(seven_at(*corner))
    assert difference(reference.image, moved.image) < 0.02
    assert (moved.box.x, moved.box.y) == pytest.approx((corner[0] + 12, corner[1]), abs=8)


@pytest.mark.parametrize("contrast", [0.12, 0.3, 1.0])
@pytest.mark.parametrize("paper", [0.5, 0.75, 1.0])
def test_faint_ink_and_grey_paper_make_no_difference(contrast, paper):
    shape = np.asarray(seven_at(140, 90), np.float32) / 255
    reference = normalise(shape).image
    assert difference(normalise(paper * (1 - contrast * (1 - shape))).image, reference) < 0.02


def test_the_digit_fills_the_box_with_its_aspect_kept_and_its_mass_in_the_middle():
    image = seen(seven_at(100, 60)).image
    rows, columns = np.nonzero(image.max(1))[0], np.nonzero(image.max(0))[0]
    assert rows[-1] - rows[0] + 1 == BOX_SIDE
    assert columns[-1] - columns[0] + 1 == pytest.approx(BOX_SIDE * 0.62, abs=2)
    axis = np.arange(SIDE)
    assert (image.sum(1) * axis).sum() / image.sum() == pytest.approx(13.5, abs=0.55)
    assert (image.sum(0) * axis).sum() / image.sum() == pytest.approx(13.5, abs=0.55)
    assert image.max() == pytest.approx(1)


def test_an_mnist_digit_stays_nearly_what_it_is(mnist_digits):
    images, _ = mnist_digits
    for image in images[:50]:
        assert difference(normalise(1 - image).image, image) < 0.06


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (300, 200), (1000, 700)])
def test_a_blank_picture_has_no_digit(level, shape):
    assert normalise(np.full(shape, level, np.float32)) is None


def test_grainy_paper_in_slanting_light_is_blank_too():
    rng = np.random.default_rng(0)
    light = np.linspace(0.5, 0.9, 300, dtype=np.float32)[None] * np.ones((200, 1), np.float32)
    assert normalise(np.clip(light + rng.normal(0, 0.01, light.shape), 0, 1).astype(np.float32)) is None


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_the_digit_is_found_in_every_scene(scene, mnist_digits, reader):
    """On hard paper, in bad light, beside lines, frames and tables: the network then reads at least 19 of 20."""
    images, labels = mnist_digits
    rng = np.random.default_rng(7)
    pictures = [render(image, SCENES[scene], rng) for image in images[:20]]
    right = [digit.best_guess == label for digit, label in zip(reader.predict_many(pictures), labels, strict=False)]
    assert sum(right) >= 19


def test_printed_lines_as_dark_as_the_ink_are_left_out():
    picture = seven_at(140, 90)
    lined = picture.copy()
    for y in range(20, 300, 50):
        ImageDraw.Draw(lined).line([(0, y), (400, y + 3)], fill=60, width=2)
    assert difference(seen(lined).image, seen(picture).image) < 0.05


def test_the_bar_of_a_seven_that_fills_its_picture_is_no_printed_line():
    tight = Image.new("L", (200, 300), 255)
    ImageDraw.Draw(tight).line([(2, 12), (196, 12), (90, 290)], fill=0, width=18, joint="curve")
    box = seen(tight).box
    assert box.y < 12
    assert box.width > 180


def test_specks_are_dropped_and_the_second_stroke_of_a_digit_is_kept():
    five = Image.new("L", (300, 300), 255)
    pen = ImageDraw.Draw(five)
    pen.line([(110, 80), (105, 140), (170, 150), (180, 200), (110, 230)], fill=0, width=10, joint="curve")
    without_bar = seen(five).box
    pen.line([(125, 75), (190, 70)], fill=0, width=10)
    with_bar = seen(five).box
    pen.ellipse((270, 270, 274, 274), fill=0)
    pen.ellipse((20, 30, 23, 33), fill=0)
    assert seen(five).box == with_bar
    assert with_bar.width > without_bar.width


def test_a_digit_is_alone_in_a_small_picture_that_holds_no_other_ink(mnist_digits):
    picture = np.pad(1 - mnist_digits[0][3], 8, constant_values=1)
    assert normalise(picture).alone
    assert normalise(1 - picture).alone
    grainy = picture.copy()
    grainy[2, 2] = grainy[-3, 3] = 0
    assert normalise(grainy).alone
    picture[10:30, :2] = 0  # a neighbour that was cut off
    assert not normalise(picture).alone
    assert difference(normalise(picture).image, normalise(picture[:, 2:]).image) < 0.01
    assert not normalise(np.pad(picture, 20, constant_values=1)).alone  # too large to tell


def test_lines_one_pixel_wide_in_a_large_drawing_do_not_fade_away():
    image = seen(seven_at(300, 200, size=800, canvas=(1500, 1200), width=1)).image
    assert (image > 0.5).sum() >= 25


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(8, 90), st.integers(8, 90)),
        elements=st.floats(0, 1, width=32),
        fill=st.just(1),
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_picture_the_result_is_none_or_a_proper_image_with_its_box_inside(grey):
    found = normalise(grey)
    if found is None:
        return
    assert found.image.shape == (28, 28)
    assert found.image.dtype == np.float32
    assert 0 <= found.image.min() <= found.image.max() <= 1
    assert found.image.max() > 0.5
    box = found.box
    assert box.width > 0
    assert box.height > 0
    assert 0 <= box.x <= box.x + box.width <= grey.shape[1] + 1
    assert 0 <= box.y <= box.y + box.height <= grey.shape[0] + 1
