import itertools

import cv2
import numpy as np
import pytest

from digitnet.reading.crops import between, crops, stands_among
from digitnet.reading.decode import ReadDigit
from digitnet.reading.strips import HEIGHT, STRIDE, Strip

PAPER, INK = 0.9, 0.2
TALL = 28  # pixels of a digit's ink in a strip


def strip_of(*digits, width=160):
    """A strip with digits (image, middle column in pixels), and its line of digits as the line reader gives it."""
    grey = np.full((HEIGHT, width), PAPER, np.float32)
    for image, middle in digits:
        rows, columns = np.nonzero(image > 0.3)
        ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        wide = max(3, round(TALL * ink.shape[1] / ink.shape[0]))
        ink = cv2.resize(ink, (wide, TALL), interpolation=cv2.INTER_LINEAR)
        left, top = middle - wide // 2, (HEIGHT - TALL) // 2
        here = grey[top : top + TALL, left : left + wide]
        np.minimum(here, PAPER - (PAPER - INK) * ink, out=here)
    middles = [middle / STRIDE for _, middle in digits]
    edges = [0.0, *((one + other) / 2 for one, other in itertools.pairwise(middles)), width / STRIDE]
    read = [
        ReadDigit(0, int(middle), int(middle), left, right, np.full(11, 1 / 11))
        for middle, left, right in zip(middles, edges[:-1], edges[1:], strict=True)
    ]
    return Strip(grey, np.eye(2, 3), TALL), read


def difference(one, other):
    return np.abs(one.image - other.image).mean()


@pytest.fixture
def digit(mnist_digits):
    """A 4: it has no loop, and stands in the way of whatever is drawn around it."""
    images, labels = mnist_digits
    return images[labels == 4][1]


@pytest.mark.parametrize("dark_ink", [True, False])
def test_digits_cut_out_of_a_strip_are_read(reader, mnist_digits, dark_ink):
    images, labels = mnist_digits
    chosen = [images[labels == label][2] for label in range(10)]
    strip, read = strip_of(*((image, 30 + 40 * place) for place, image in enumerate(chosen)), width=420)
    if not dark_ink:
        strip = Strip(1 - strip.grey, strip.to_picture, strip.height)
    found = crops(strip, read)
    first = np.stack([ways[0].image for ways in found])
    assert first.shape == (10, 28, 28)
    assert (first.min(), first.max()) == (0, 1)
    assert "".join(str(one.best_guess) for one in reader.predict_normalised(first)) == "0123456789"


def test_a_digit_that_stands_free_is_cut_out_in_one_way_and_its_box_is_where_it_is(digit):
    for middle in (30, 61, 140):
        strip, read = strip_of((digit, middle))
        ((way,),) = crops(strip, read)
        rows, columns = np.nonzero(strip.grey < 0.65)
        assert (way.box.x, way.box.y) == pytest.approx((columns.min(), rows.min()), abs=1)
        assert (way.box.width, way.box.height) == pytest.approx((np.ptp(columns) + 1, np.ptp(rows) + 1), abs=2)


def test_a_crop_has_no_neighbour_in_it(mnist_digits):
    images, labels = mnist_digits
    eight, one = images[labels == 8][2], images[labels == 1][2]
    alone, read = strip_of((eight, 80))
    ((expected, *_),) = crops(alone, read)
    strip, read = strip_of((one, 52), (eight, 80), (one, 108))
    assert difference(crops(strip, read)[1][0], expected) < 0.03


def around(grey, kind, middle=80):
    """Draws something around the digit in the middle of a strip."""
    if kind == "circle":
        cv2.ellipse(grey, (middle, 24), (25, 22), 0, 0, 360, INK, 2, cv2.LINE_AA)
    elif kind == "underline":
        cv2.line(grey, (middle - 20, 44), (middle + 20, 44), INK, 2)
    elif kind == "bracket":
        cv2.ellipse(grey, (middle - 10, 24), (8, 21), 0, 110, 250, INK, 2, cv2.LINE_AA)
    elif kind == "frame":
        cv2.rectangle(grey, (middle - 22, 3), (middle + 22, 45), INK, 2)


@pytest.mark.parametrize("kind", ["circle", "underline", "bracket", "frame"])
def test_what_is_drawn_around_a_digit_is_left_out_of_its_second_crop(digit, kind):
    strip, read = strip_of((digit, 80))
    ((clean,),) = crops(strip, read)
    around(strip.grey, kind)
    (ways,) = crops(strip, read)
    assert len(ways) == 2
    assert difference(ways[0], clean) > 0.05
    assert difference(ways[1], clean) < 0.02
    assert ways[1].box.height == pytest.approx(clean.box.height, abs=2)


def test_the_bar_of_a_digit_that_hangs_together_is_no_underline(mnist_digits):
    images, labels = mnist_digits
    strip, read = strip_of((images[labels == 2][1], 80))
    ((way, *others),) = crops(strip, read)
    assert all(difference(way, other) < 0.02 for other in others)


def test_where_there_is_no_ink_there_is_no_crop_and_edges_do_no_harm():
    strip = Strip(np.full((HEIGHT, 40), 0.8, np.float32), np.eye(2, 3), TALL)
    read = [ReadDigit(1, column, column, column, column + 1, np.full(11, 1 / 11)) for column in (0, 4, 9)]
    assert crops(strip, read) == [(), (), ()]
    assert crops(strip, []) == []


def test_ink_at_the_ends_of_a_strip_is_cut_out(digit):
    strip, read = strip_of((digit, 14), (digit, 146))
    for ways, place in zip(crops(strip, read), (14, 146), strict=True):
        assert ways[0].box.x + ways[0].box.width / 2 == pytest.approx(place, abs=2)
        assert 0 <= ways[0].box.x < ways[0].box.x + ways[0].box.width <= 160


def boxes_of(strip, read):
    return [way[0].box for way in crops(strip, read)]


@pytest.mark.parametrize("missed", [24, 75, 160])
def test_ink_as_tall_as_its_neighbours_that_no_digit_claims_is_a_gap_to_look_into(digit, mnist_digits, missed):
    images, labels = mnist_digits
    known = [(digit, 50), (digit, 100), (digit, 134)]
    _, read = strip_of(*known, width=180)
    strip, _ = strip_of(*known, (images[labels == 1][2], missed), width=180)
    boxes = boxes_of(strip, read)
    (gap,) = between(strip, boxes)
    assert gap.left < missed / STRIDE < gap.right
    ((way, *_),) = crops(strip, [gap])
    assert way.box.x <= missed <= way.box.x + way.box.width
    assert stands_among(way, boxes)


def test_low_ink_and_empty_paper_between_digits_are_no_gaps(digit):
    strip, read = strip_of((digit, 50), (digit, 120))
    strip.grey[36:38, 80:90] = INK  # a point
    assert between(strip, boxes_of(strip, read)) == []
    assert between(strip, []) == []


def test_a_wall_that_goes_on_beyond_the_strip_is_no_digit(digit):
    strip, read = strip_of((digit, 50), (digit, 120))
    strip.grey[:, 84:87] = INK
    boxes = boxes_of(strip, read)
    (gap,) = between(strip, boxes)
    ((way, *_),) = crops(strip, [gap])
    assert not stands_among(way, boxes)


def test_two_strokes_side_by_side_may_be_two_digits(digit):
    strip, read = strip_of((digit, 40))
    strip.grey[10:38, 100:103] = strip.grey[11:37, 107:110] = INK
    pair = ReadDigit(1, 26, 26, 20, 32, np.full(11, 1 / 11))
    (free, two) = crops(strip, [*read, pair])
    assert [way.several for way in free] == [False] * len(free)
    assert all(way.several for way in two)


def test_a_shadow_whose_edge_crosses_a_digit_changes_nothing(digit):
    strip, read = strip_of((digit, 80))
    ((clean, *_),) = crops(strip, read)
    strip.grey[:, :78] *= 0.5
    ((shaded, *_),) = crops(strip, read)
    assert difference(shaded, clean) < 0.03
    assert shaded.box == clean.box
