import cv2
import numpy as np
import pytest

from digitnet.reading.places import Place
from digitnet.reading.strips import HEIGHT, NARROWEST, WIDEST, cut, prepared, resized


def sloping_line(slope, size=(400, 700), height=40, wide=16, count=8):
    """A picture of upright bars along a sloping line, its place, and the middles of the bars."""
    grey = np.full(size, 0.9, np.float32)
    xs = 100 + 60 * np.arange(count)
    ys = size[0] / 2 + slope * (xs - xs.mean())
    for x, y in zip(xs, ys, strict=True):
        corners = np.array([[x - wide / 2, y - height / 2], [x + wide / 2, y + height / 2]])
        (left, top), (right, bottom) = corners.round().astype(int)
        grey[top:bottom, left:right] = 0.1
    place = Place(
        xs[0] - wide / 2, ys.min() - height / 2, xs[-1] + wide / 2, ys.max() + height / 2, height, slope=slope
    )
    return grey, place, np.column_stack([xs, ys])


def components(strip):
    _, _, stats, middles = cv2.connectedComponentsWithStats((strip.grey < 0.5).astype(np.uint8))
    order = stats[1:, 0].argsort()
    return stats[1:][order], middles[1:][order]


@pytest.mark.parametrize("slope", [-0.4, -0.1, 0.0, 0.2, 0.4])
def test_the_strip_of_a_sloping_line_is_straight(slope):
    grey, place, middles = sloping_line(slope)
    strip = cut(grey, place)
    stats, found = components(strip)
    assert strip.grey.shape[0] == HEIGHT
    assert strip.grey.dtype == np.float32
    assert len(found) == len(middles)
    assert np.ptp(found[:, 1]) < 1.5
    assert found[:, 1] == pytest.approx((HEIGHT - 1) / 2, abs=1.5)
    # Each digit is as tall as the strip says, and there is paper around them.
    assert stats[:, 3] == pytest.approx(strip.height, rel=0.35)
    assert 0.5 * HEIGHT < strip.height < 0.85 * HEIGHT
    assert stats[0, 0] > 0.5 * strip.height < strip.grey.shape[1] - stats[-1, 0] - stats[-1, 2]


@pytest.mark.parametrize("slope", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("size", [1, 2.5])
def test_a_box_in_the_strip_is_found_where_it_is_in_the_picture(slope, size):
    grey, place, middles = sloping_line(slope)
    large = cv2.resize(grey, None, fx=size, fy=size, interpolation=cv2.INTER_LINEAR)
    edges = (size * edge for edge in (place.left, place.top, place.right, place.bottom))
    strip = cut(large, Place(*edges, size * place.height, slope=slope))
    stats, _ = components(strip)
    for (left, top, wide, tall, _), (x, y) in zip(stats, middles, strict=True):
        edges = strip.box_in_picture(left, top, left + wide, top + tall)
        assert (edges[0] + edges[2]) / 2 == pytest.approx(size * x, abs=2 * size)
        assert (edges[1] + edges[3]) / 2 == pytest.approx(size * y, abs=2 * size)
        assert edges[3] - edges[1] == pytest.approx(size * 40, rel=0.2)
        assert edges[2] - edges[0] == pytest.approx(size * (16 + 40 * abs(slope)), rel=0.25)


def test_a_place_without_margin_is_cut_as_it_is():
    grey = np.random.default_rng(0).random((HEIGHT, 200), np.float32)
    strip = cut(grey, Place(0, 0, 200, HEIGHT, HEIGHT, margin=0.0))
    assert strip.grey == pytest.approx(grey, abs=1e-5)
    assert strip.box_in_picture(10, 20, 30, 40) == pytest.approx((10, 20, 30, 40))


def test_beyond_the_edge_of_the_picture_there_is_paper():
    grey = np.full((60, 100), 0.8, np.float32)
    grey[:, 20:24] = 0.1
    strip = cut(grey, Place(0, 0, 100, 60, 60))
    assert strip.grey[:3].mean() == pytest.approx(0.8)
    assert strip.grey[:, :10] == pytest.approx(0.8)
    assert strip.grey[:, -10:] == pytest.approx(0.8)
    assert strip.grey.min() < 0.3


@pytest.mark.parametrize("place", [Place(-50, -50, -20, -10, 40), Place(500, 10, 560, 50, 40), Place(0, 0, 1, 1, 1)])
def test_a_place_outside_or_tiny_does_no_harm(place):
    strip = cut(np.full((60, 100), 0.8, np.float32), place)
    assert strip.grey == pytest.approx(0.8)


def test_the_paper_of_a_large_digit_is_reduced_by_the_mean_of_its_pixels():
    checks = np.kron(np.indices((200, 300)).sum(0) % 2, np.ones((2, 2))).astype(np.float32)
    strip = cut(checks, Place(0, 0, 600, 400, 400, margin=0.0))
    assert strip.grey[4:-4, 4:-4] == pytest.approx(0.5, abs=0.1)


def test_no_strip_is_narrower_or_wider_than_the_line_reader_takes():
    grey = np.full((400, 20000), 0.8, np.float32)
    assert cut(grey, Place(0, 0, 20000, 10, 10)).grey.shape == (HEIGHT, WIDEST)
    assert cut(grey, Place(0, 0, 2, 400, 400, margin=0.0)).grey.shape == (HEIGHT, NARROWEST)
    assert resized(np.zeros((10, 20000), np.uint8)).shape == (HEIGHT, WIDEST)
    assert resized(np.zeros((400, 2), np.uint8)).shape == (HEIGHT, NARROWEST)


def test_a_line_in_bytes_becomes_a_strip_in_its_shape():
    strip = resized(np.full((96, 400), 51, np.uint8))
    assert (strip.shape, strip.dtype) == ((HEIGHT, 200), np.float32)
    assert strip == pytest.approx(0.2)


def test_a_strip_looks_alike_to_the_line_reader_in_any_light():
    grey, place, _ = sloping_line(0.0)
    bright, dim = prepared(cut(grey, place).grey), prepared(cut(0.5 * grey, place).grey)
    assert bright == pytest.approx(dim, abs=0.35)
    assert abs(np.median(bright)) < 1 < abs(bright.min())
