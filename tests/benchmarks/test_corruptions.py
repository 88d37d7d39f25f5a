"""The corruptions of benchmarks/corruptions.py spoil digits as they say, and nothing but the benchmark uses them."""

import sys

import cv2
import numpy as np
import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import corruptions
from corruptions import CORRUPTIONS, corrupted

FIFTEEN = (
    *("shot_noise", "impulse_noise", "glass_blur", "motion_blur", "shear", "scale", "rotate", "brightness"),
    *("translate", "stripe", "fog", "spatter", "dotted_line", "zigzag", "canny_edges"),
)
NO_CHANCE = {"scale", "brightness", "stripe", "canny_edges"}
OTHER_PAPER = {"brightness", "fog"}  # the normalisation takes it away; the network alone has never seen any
OTHER_STROKES = {"stripe", "zigzag", "canny_edges"}  # strokes added, inverted or hollowed out

every_corruption = pytest.mark.parametrize("name", FIFTEEN)


@pytest.fixture(scope="module")
def images(mnist_digits):
    """(200, 28, 28) uint8, bright ink on black."""
    return np.rint(mnist_digits[0] * 255).astype(np.uint8)


@pytest.fixture
def dot():
    """One picture (1, 28, 28) of one bright pixel, above and left of the middle."""
    picture = np.zeros((1, 28, 28), np.uint8)
    picture[0, 10, 12] = 255
    return picture


def test_the_corruptions_are_the_fifteen_of_mnist_c():
    assert tuple(CORRUPTIONS) == FIFTEEN
    assert len(set(CORRUPTIONS.values())) == 15


@every_corruption
def test_every_picture_is_changed_and_the_originals_are_not(name, images):
    few = images[:40]
    before = few.copy()
    spoiled = corrupted(name, few)
    assert (spoiled.shape, spoiled.dtype) == (few.shape, np.uint8)
    assert (spoiled != few).any((1, 2)).all()
    assert (few == before).all()


@every_corruption
def test_a_seed_draws_the_same_pictures_each_time_and_another_seed_draws_others(name, images):
    few = images[:20]
    spoiled = corrupted(name, few)
    assert (spoiled == corrupted(name, few)).all()
    assert (spoiled == corrupted(name, few, seed=1)).all() == (name in NO_CHANCE)


@every_corruption
def test_pictures_with_no_ink_can_be_spoiled_too(name):
    assert corrupted(name, np.zeros((2, 28, 28), np.uint8)).shape == (2, 28, 28)


@every_corruption
def test_the_digits_can_still_be_read(name, images, mnist_digits, reader):
    """Four in five where strokes stay as they were, for people read nearly all of them; a broken corruption (mirrored,
    moved out of sight, drowned) leaves far fewer. Where strokes are not what they were, a network that has never seen
    the like may well be wrong, but not as if nothing were there: three times as often right as by chance.
    """
    spoiled = corrupted(name, images)
    as_picture = name in OTHER_PAPER
    read = reader.predict_many(spoiled) if as_picture else reader.predict_normalised(np.float32(spoiled) / 255)
    right = np.mean([digit.best_guess == label for digit, label in zip(read, mnist_digits[1], strict=True)])
    assert right >= (0.3 if name in OTHER_STROKES else 0.8)


def test_a_translated_dot_is_three_pixels_off_both_ways(dot):
    found = {tuple(np.argwhere(picture)[0].tolist()) for picture in corrupted("translate", dot.repeat(50, 0))}
    assert found == {(7, 9), (7, 15), (13, 9), (13, 15)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # From the middle at 13.5, the dot lies 3.5 up and 1.5 to the left; 0.921 and 0.389 are the cosine and sine of
        # 0.4, 0.423 its tangent. Resampling moves a centre of mass by less than half a pixel.
        ("scale", {(13.5 - 0.7 * 3.5, 13.5 - 0.7 * 1.5)}),
        ("rotate", {(13.5 - 3.5 * 0.921 + s * 1.5 * 0.389, 13.5 - 1.5 * 0.921 - s * 3.5 * 0.389) for s in (-1, 1)}),
        ("shear", {(13.5 - 3.5 / 0.921, 13.5 - 1.5 - s * 3.5 * 0.423) for s in (-1, 1)}),
    ],
)
def test_a_dot_goes_where_the_map_about_the_middle_takes_it(name, expected, dot):
    found = []
    for picture in corrupted(name, dot.repeat(50, 0)):
        points = np.argwhere(picture)
        found.append(np.average(points, axis=0, weights=picture[tuple(points.T)]))
    distances = np.linalg.norm(np.array(found)[:, None] - np.array(sorted(expected)), axis=2)  # (50, 1 or 2)
    assert distances.min(1).max() < 0.5
    assert len(set(distances.argmin(1))) == len(expected)


def test_a_trail_is_fainter_than_the_dot_and_leads_to_the_left(dot):
    for picture in corrupted("motion_blur", dot.repeat(20, 0)):
        columns = np.nonzero(picture)[1]
        assert columns.max() == 12
        assert len(columns) > 5
        assert picture.max() < 128
        assert picture.sum(dtype=int) == pytest.approx(255, abs=20)  # spread, not added


def test_stripes_are_the_outer_quarters_in_negative(images):
    spoiled = corrupted("stripe", images)
    assert (spoiled[:, :, 7:21] == images[:, :, 7:21]).all()
    outside = np.r_[0:7, 21:28]
    assert (spoiled[:, :, outside] == 255 - images[:, :, outside]).all()


def test_lines_only_add_ink_and_dotted_ones_leave_out_two_columns_of_four(images):
    for name in ("dotted_line", "zigzag"):
        assert (corrupted(name, images) >= images).all()
    alone = corrupted("dotted_line", np.zeros_like(images))
    assert set(np.nonzero(alone.any((0, 1)))[0]) == {column for column in range(27) if column % 4 > 1}


def test_the_edge_of_a_disc_is_one_thin_closed_ring():
    rows, columns = np.mgrid[:28, :28]
    distances = np.hypot(rows - 13.2, columns - 14.1)
    disc = (255 * np.clip(9.3 - distances, 0, 1)).astype(np.uint8)
    ring = corrupted("canny_edges", disc[np.newaxis])[0]
    assert set(ring.flat) == {0, 255}
    assert abs(distances[ring > 0] - 8.8).max() < 1
    assert cv2.erode(ring, np.ones((2, 2), np.uint8)).max() == 0  # nowhere two pixels thick
    parts, _ = cv2.connectedComponents(255 - ring, connectivity=4)
    assert parts - 1 == 2  # inside and outside


@every_corruption
def test_more_pictures_do_not_change_the_first(name, images, monkeypatch):
    monkeypatch.setattr(corruptions, "BATCH", 10)
    assert (corrupted(name, images[:15])[:10] == corrupted(name, images[:10])).all()


def test_a_blank_picture_counts_as_read_wrong(reader):
    blank = np.zeros((2, 28, 28), np.uint8)
    assert corruptions.errors(reader, blank, np.array([0, 1]))["error_percent_as_picture"] == 100


def test_nothing_that_trains_knows_the_corruptions():
    for path in (*(ROOT / "digitnet").rglob("*.py"), ROOT / "main.py"):
        assert "corruptions" not in path.read_text(), path
