import numpy as np
import pytest
from scenes import SCENES, Scene, render


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_scene_is_a_colour_picture_of_its_size_with_ink_on_it(name, mnist_digits):
    scene = SCENES[name]
    picture = render(mnist_digits[0][0], scene, np.random.default_rng(0))
    assert picture.shape == (scene.height, scene.width, 3)
    assert picture.dtype == np.uint8
    assert np.ptp(picture.astype(int)) > 30


def test_a_seed_always_gives_the_same_picture_and_another_seed_another_picture(mnist_digits):
    def picture(seed):
        return render(mnist_digits[0][0], SCENES["ruled"], np.random.default_rng(seed))

    assert np.array_equal(picture(1), picture(1))
    assert not np.array_equal(picture(1), picture(2))


def test_a_mouse_draws_lines_one_pixel_wide_and_unbroken(mnist_digits):
    import cv2

    picture = render(mnist_digits[0][1], SCENES["mouse"], np.random.default_rng(0))
    ink = (picture[..., 0] == 0).astype(np.uint8)
    assert cv2.connectedComponents(ink, connectivity=8)[0] == 2  # paper and one line
    assert not cv2.erode(ink, np.ones((3, 3), np.uint8)).any()


@pytest.mark.parametrize(
    ("plain", "changed"),
    [
        (Scene(), Scene(lines="ruled")),
        (Scene(), Scene(frame=True)),
        (Scene(), Scene(table=True)),
        (Scene(), Scene(shadow=0.5)),
        (Scene(), Scene(pen_weight=0.05)),
        (Scene(), Scene(opacity=0.3)),
        (Scene(), Scene(light=0.6)),
        (Scene(), Scene(blur=3)),
        (Scene(lines="ruled"), Scene(lines="ruled", line_strength=1.0)),
    ],
)
def test_every_setting_changes_the_picture(plain, changed, mnist_digits):
    pictures = [render(mnist_digits[0][0], scene, np.random.default_rng(3)).astype(int) for scene in (plain, changed)]
    assert np.abs(pictures[0] - pictures[1]).max() > 20
