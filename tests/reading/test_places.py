import math

import numpy as np
import pytest

from digitnet.errors import CancelledError
from digitnet.reading import places as finding
from digitnet.reading.places import BORDER, DEEPEST, FINE, STRIDE, Peak, chains, distinct, framed, peaks, place_of
from digitnet.reading.strips import WIDEST, cut


def maps_of(height, width, *digits):
    """The network's maps of so many cells: (digit, y, x, height in pixels, logit) each, y and x in cells."""
    maps = np.full((14, height, width), -8.0, np.float32)
    maps[10:] = 0
    for digit, y, x, tall, logit in digits:
        row, column = int(y), int(x)
        maps[digit, row, column] = logit
        maps[10:, row, column] = x - column, y - row, math.log(tall / STRIDE / 2), math.log(tall / STRIDE)
    return maps


class Network:
    """Sees each dark square as a 7, and only where it is of a size that the network knows."""

    def __init__(self, smallest=8, largest=110):
        self.smallest, self.largest = smallest, largest
        self.sizes = []

    def run(self, names, inputs):
        (page,) = inputs["pages"][:, 0]
        assert page.shape[0] % DEEPEST == page.shape[1] % DEEPEST == 0
        self.sizes.append(page.shape)
        found = []
        rows, columns = np.nonzero(page < -0.8)
        if len(rows):
            tall = rows.max() - rows.min() + 1
            if self.smallest <= tall <= self.largest:
                y, x = ((a.min() + a.max() + 1) / 2 / STRIDE for a in (rows, columns))
                found.append((7, y, x, tall, 3.0 - abs(math.log(tall / 32))))
        return [maps_of(*(side // STRIDE for side in page.shape), *found)[np.newaxis]]


def page_with_square(height, width, top, left, side):
    grey = np.full((height, width), 0.9, np.float32)
    grey[top : top + side, left : left + side] = 0.1
    return grey


def peak(x, y=0.0, *, digit=0, score=0.9, width=20.0, height=30.0):
    """A peak whose left top corner is at (x, y)."""
    return Peak(x, y, x + width, y + height, digit, score)


def written(text, x=0.0, y=0.0, slope=0.0, step=25.0):
    return [peak(x + step * i, y + slope * step * i, digit=int(c)) for i, c in enumerate(text)]


def texts(found):
    return sorted("".join(str(one.digit) for one in chain) for chain in found)


def test_a_peak_has_its_place_its_size_and_its_score():
    (found,) = peaks(maps_of(20, 30, (4, 5.5, 7.5, 40, 2.0)))
    assert (found.digit, round(found.score, 3)) == (4, 0.881)
    assert (found.left + found.right) / 2 == pytest.approx(7.5 * STRIDE)
    assert (found.top + found.bottom) / 2 == pytest.approx(5.5 * STRIDE)
    assert (found.right - found.left, found.height) == (pytest.approx(20), pytest.approx(40))


def test_only_what_stands_above_its_surroundings_is_a_peak_and_nothing_faint():
    found = peaks(maps_of(20, 30, (4, 5, 7, 40, 2.0), (4, 5, 8, 40, 1.0), (9, 6, 7, 40, 0.5), (1, 15, 20, 40, -4.0)))
    assert [one.digit for one in found] == [4]


def test_a_size_that_no_digit_has_does_not_overflow():
    maps = maps_of(20, 30, (4, 5, 7, 40, 2.0))
    maps[12:, 5, 7] = 1000
    (found,) = peaks(maps)
    assert math.isfinite(found.height)


@pytest.mark.parametrize("shape", [(100, 70), (96, 96), (33, 210), (1, 1)])
def test_a_framed_picture_suits_the_network_and_has_bare_paper_around_it(shape):
    found = framed(np.ones(shape, np.float32))
    assert found.shape[0] % DEEPEST == found.shape[1] % DEEPEST == 0
    inside = found[BORDER : BORDER + shape[0], BORDER : BORDER + shape[1]]
    assert inside.all()
    assert found.sum() == inside.size
    assert min(found.shape[0] - shape[0], found.shape[1] - shape[1]) >= 2 * BORDER
    assert framed(np.ones(shape, np.float32), 256, 320).shape == (256, 320)


def test_of_peaks_on_the_same_ink_the_likeliest_is_kept_and_neighbours_stay():
    found = [peak(0, score=0.5), peak(3, score=0.9), peak(18, score=0.8), peak(40, score=0.3, width=6)]
    assert [(one.left, one.score) for one in distinct(found)] == [(3, 0.9), (18, 0.8), (40, 0.3)]


@pytest.mark.parametrize(
    ("size", "side"), [((300, 500), 20), ((700, 900), 60), ((900, 700), 300), ((60, 60), 40), ((20, 30), 14)]
)
def test_a_digit_of_any_size_is_found_once_and_where_it_is(size, side):
    top, left = (size[0] - side) // 3, (size[1] - side) // 2
    (place,) = finding.places(Network(), page_with_square(*size, top, left, side))
    assert (place.top + place.bottom) / 2 == pytest.approx(top + side / 2, abs=0.2 * side + 3)
    assert (place.left + place.right) / 2 == pytest.approx(left + side / 2, abs=0.2 * side + 3)
    assert place.height == pytest.approx(side, rel=0.25)
    assert place.slope == 0


def test_a_picture_is_looked_at_in_few_sizes_and_a_large_one_of_small_digits_once_more():
    network = Network()
    finding.places(network, page_with_square(1200, 900, 500, 400, 100))
    usual = [max(shape) for shape in network.sizes]
    network.sizes.clear()
    (place,) = finding.places(network, page_with_square(1200, 900, 500, 400, 12))
    assert [max(shape) for shape in network.sizes[:-1]] == usual
    assert max(network.sizes[-1]) > 1.5 * usual[-1] > 1.5 * FINE
    assert place.height == pytest.approx(12, abs=2)


def test_a_small_picture_is_looked_at_in_few_sizes_too():
    network = Network()
    finding.places(network, page_with_square(60, 40, 20, 10, 20))
    assert len(network.sizes) == 2
    assert max(map(max, network.sizes)) <= 1.5 * 60 + 2 * BORDER + DEEPEST


def test_what_lies_in_the_border_around_the_picture_is_no_place():
    class SeesTheBorder:
        def run(self, names, inputs):
            height, width = (side // STRIDE for side in inputs["pages"].shape[2:])
            return [maps_of(height, width, (3, 1.5, 12, 20, 4.0))[np.newaxis]]

    assert finding.places(SeesTheBorder(), np.full((200, 300), 0.9, np.float32)) == []


def test_an_empty_page_has_no_places():
    assert finding.places(Network(), np.full((400, 300), 0.7, np.float32)) == []


def test_where_every_peak_is_faint_there_is_no_line():
    class Unsure(Network):
        def run(self, names, inputs):
            (maps,) = super().run(names, inputs)
            return [np.where(np.arange(14)[:, None, None] < 10, maps - 4.5, maps)]

    grey = page_with_square(300, 500, 100, 200, 30)
    assert len(finding.places(Network(), grey)) == 1
    assert finding.places(Unsure(), grey) == []


def test_looking_stops_when_its_caller_no_longer_waits():
    network = Network()
    with pytest.raises(CancelledError):
        finding.places(network, page_with_square(300, 500, 100, 200, 30), lambda: len(network.sizes) == 1)
    assert len(network.sizes) == 1


def test_the_digits_of_a_line_are_one_chain_from_left_to_right():
    assert texts(chains(written("31415")[::-1])) == ["31415"]


def test_no_peaks_are_no_chains():
    assert chains([]) == []
    assert distinct([]) == []


@pytest.mark.parametrize("slope", [-0.35, -0.1, 0.1, 0.35])
def test_sloping_lines_stay_whole_and_apart(slope):
    found = [*written("12345", slope=slope, y=200), *written("67890", slope=slope, y=250)]
    assert texts(chains(found)) == ["12345", "67890"]


@pytest.mark.parametrize("slope", [-0.3, 0.25])
def test_a_place_knows_the_slope_of_its_line(slope):
    place = place_of(written("1234567", slope=slope, y=200))
    assert place.slope == pytest.approx(slope)
    assert (place.left, place.right, place.height) == (0, 25 * 6 + 20, 30)
    assert (place.top, place.bottom) == pytest.approx((min(200, 200 + 150 * slope), max(200, 200 + 150 * slope) + 30))


def test_lines_that_stand_close_together_stay_two():
    found = [*written("123456"), *written("789012", y=31)]
    assert texts(chains(found)) == ["123456", "789012"]


def test_digits_of_unlike_size_are_not_of_one_number():
    large = peak(60, -60, digit=9, width=100, height=150)
    assert texts(chains([*written("12"), large])) == ["12", "9"]


def test_cents_that_are_written_smaller_belong_to_their_amount():
    cents = [peak(75 + 14 * i, digit=0, width=10, height=17) for i in range(2)]
    assert texts(chains([*written("125"), *cents])) == ["12500"]


def test_numbers_far_apart_are_two_places_and_a_blank_between_digits_is_none():
    assert texts(chains([*written("12"), *written("34", x=400)])) == ["12", "34"]
    assert texts(chains([*written("12"), *written("34", x=100)])) == ["1234"]


def test_peaks_above_one_another_are_two_lines():
    assert texts(chains([peak(0, 0, digit=1), peak(1, 32, digit=2)])) == ["1", "2"]


def test_the_place_of_one_digit_or_of_two_is_taken_for_level():
    assert place_of([peak(10, 20)]).slope == 0
    assert place_of([peak(10, 20), peak(40, 26)]).slope == 0


def test_a_place_is_as_tall_as_its_usual_digit():
    assert place_of([*written("1234"), peak(100, -30, height=80)]).height == 30


def test_a_line_steeper_than_any_is_taken_for_the_steepest():
    found = written("1234567", slope=1.2)
    assert place_of(found).slope == pytest.approx(finding.STEEPEST)


def test_a_line_that_no_strip_could_hold_is_cut_into_pieces():
    found = chains(written("7" * 500))
    assert "".join(texts(found)) == "7" * 500
    assert 1 < len(found) < 10
    for chain in found:
        assert cut(np.ones((100, 100), np.float32), place_of(chain)).grey.shape[1] < WIDEST


def test_in_a_very_long_picture_a_digit_that_nearly_fills_its_height_is_found():
    (found,) = finding.places(Network(), page_with_square(40, 12_000, 8, 9000, 24))
    assert (found.left, found.top, found.height) == (
        pytest.approx(9005, abs=8),
        pytest.approx(8, abs=4),
        pytest.approx(24, abs=3),
    )
