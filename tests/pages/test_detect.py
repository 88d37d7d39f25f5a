import math

import numpy as np
import pytest

from digitnet.pages import detect
from digitnet.pages.detect import Detection

STRIDE = detect.STRIDE


def answer(height, width, *digits):
    """The network's answer for a page of so many cells: (digit, y, x, height in pixels, logit) each, y, x in cells."""
    cells = np.full((14, height, width), -8.0, np.float32)
    cells[10:] = 0
    for digit, y, x, tall, logit in digits:
        row, column = int(y), int(x)
        cells[digit, row, column] = logit
        cells[10:, row, column] = x - column, y - row, math.log(tall / STRIDE / 2), math.log(tall / STRIDE)
    return cells


class FakeSession:
    """Sees one dark square of about `tall` pixels as a 7, and only where it is of a size that a network knows."""

    def run(self, names, inputs):
        (page,) = inputs["pages"][:, 0]
        assert page.shape[0] % detect.DEEPEST == page.shape[1] % detect.DEEPEST == 0
        found = []
        rows, columns = np.nonzero(page < -0.8)
        if len(rows):
            tall = rows.max() - rows.min() + 1
            if 8 <= tall <= 110:
                y, x = ((a.min() + a.max() + 1) / 2 / STRIDE for a in (rows, columns))
                found.append((7, y, x, tall, 3.0 - abs(math.log(tall / 32))))
        return [answer(*(side // STRIDE for side in page.shape), *found)[np.newaxis]]


def page_with_square(height, width, top, left, side):
    grey = np.full((height, width), 0.9, np.float32)
    grey[top : top + side, left : left + side] = 0.1
    return grey


def test_a_peak_is_a_detection_with_its_place_and_size():
    (detection,) = detect.peaks(answer(20, 30, (4, 5.5, 7.5, 40, 2.0)))
    assert (detection.digit, round(detection.score, 3)) == (4, 0.881)
    assert (detection.left + detection.right) / 2 == pytest.approx(7.5 * STRIDE)
    assert (detection.top + detection.bottom) / 2 == pytest.approx(5.5 * STRIDE)
    assert (detection.width, detection.height) == (pytest.approx(20), pytest.approx(40))


def test_only_peaks_are_detections_not_their_slopes_nor_what_is_faint():
    detections = list(
        detect.peaks(answer(20, 30, (4, 5, 7, 40, 2.0), (4, 5, 8, 40, 1.0), (9, 6, 7, 40, 0.5), (1, 15, 20, 40, -4.0)))
    )
    assert [detection.digit for detection in detections] == [4]


def test_of_detections_on_the_same_ink_the_likeliest_is_kept_and_neighbours_stay():
    def detection(left, score, digit=3, width=20.0):
        scores = np.full(10, 0.01, np.float32)
        scores[digit] = score
        return Detection(left, 0, left + width, 30, scores)

    detections = [
        detection(0, 0.5),
        detection(3, 0.9),
        detection(18, 0.8),
        detection(40, 0.3, 1, 6),
        detection(39, 0.6, 0, 24),
    ]
    kept = detect.distinct(detections)
    assert [(one.left, round(one.score, 1)) for one in kept] == [(3, 0.9), (18, 0.8), (39, 0.6)]
    # A stroke of a digit may be a digit of its own: the lattice weighs the two.
    kept = detect.merged([detections])
    assert [(round(one.left), round(one.score, 1)) for one in kept] == [(3, 0.9), (18, 0.8), (39, 0.6), (40, 0.3)]


@pytest.mark.parametrize("light", [0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_ink_looks_alike_in_any_light(light, dtype):
    grey = page_with_square(160, 160, 60, 60, 24) * light
    picture = (grey * 255).astype(np.uint8) if dtype == np.uint8 else grey
    even = detect.normalise_contrast(picture)
    assert even.dtype == np.float32
    assert even[65:80, 65:80].mean() < -2
    assert abs(even[:20, :20]).max() < 0.5


def test_bare_paper_with_a_little_noise_stays_bare():
    noise = 0.01 * np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
    assert detect.normalise_contrast(np.float32(0.8) + noise).std() < 0.25


@pytest.mark.parametrize(
    ("size", "side"), [((300, 500), 20), ((700, 900), 60), ((900, 700), 300), ((60, 60), 40), ((20, 30), 14)]
)
def test_a_digit_of_any_size_is_found_once_and_where_it_is(size, side):
    top, left = (size[0] - side) // 3, (size[1] - side) // 2
    (detection,) = detect.detect(FakeSession(), page_with_square(*size, top, left, side))
    assert detection.digit == 7
    assert (detection.top + detection.bottom) / 2 == pytest.approx(top + side / 2, abs=0.2 * side + 3)
    assert (detection.left + detection.right) / 2 == pytest.approx(left + side / 2, abs=0.2 * side + 3)
    assert detection.height == pytest.approx(side, rel=0.25)


def test_an_empty_page_has_no_detections():
    assert detect.detect(FakeSession(), np.full((400, 300), 0.7, np.float32)) == []


def test_what_several_scales_have_found_is_there_once_with_their_average():
    def detection(left, score, digit=3, other=0.01):
        scores = np.full(10, 0.01, np.float32)
        scores[digit], scores[9] = score, other
        return Detection(left, 0, left + 20, 30, scores)

    scales = [
        [detection(0, 0.9, other=0.6), detection(100, 0.5)],
        [detection(4, 0.3), detection(30, 0.8, 5)],
        [detection(0, 0.9)],
    ]
    one, other, alone = sorted(detect.merged(scales), key=lambda detection: detection.left)
    assert (one.scales, other.scales, alone.scales) == (3, 1, 1)
    assert (one.digit, other.digit, alone.digit) == (3, 5, 3)
    assert one.left == pytest.approx(4 * 0.3 / 2.1)
    assert 0.3 < one.score < 0.9
    assert 0.05 < one.scores[9] < 0.5


def test_two_detections_of_one_scale_are_two_digits_or_one_is_left_out():
    scores = np.full(10, 0.01, np.float32)
    near, apart = Detection(2, 0, 22, 30, scores), Detection(30, 0, 50, 30, scores)
    (one, other) = detect.merged([[Detection(0, 0, 20, 30, scores + 0.5), near, apart]])
    assert (one.left, one.scales, other.left) == (0, 1, 30)


def test_what_is_known_already_counts_as_one_more_scale():
    grey = page_with_square(300, 500, 100, 200, 30)
    (found,) = detect.detect(FakeSession(), grey)
    scores = np.full(10, 0.01, np.float32)
    scores[7] = 0.999
    known = Detection(found.left, found.top, found.right, found.bottom, scores, alone=True)
    (both,) = detect.detect(FakeSession(), grey, [known])
    assert both.scales == found.scales + 1
    assert both.alone
    assert not found.alone
    assert found.score < both.score < 0.999
    (elsewhere, _) = sorted(
        detect.detect(FakeSession(), grey, [Detection(5, 5, 40, 60, scores)]), key=lambda detection: detection.left
    )
    assert (elsewhere.left, elsewhere.scales) == (5, 1)


@pytest.mark.parametrize("shape", [(100, 70), (96, 96), (33, 210)])
def test_a_framed_page_suits_the_network_and_has_bare_paper_around_it(shape):
    framed = detect.framed(np.ones(shape, np.float32))
    assert framed.shape[0] % detect.DEEPEST == framed.shape[1] % detect.DEEPEST == 0
    inside = framed[detect.BORDER : detect.BORDER + shape[0], detect.BORDER : detect.BORDER + shape[1]]
    assert inside.all()
    assert framed.sum() == inside.size
    assert min(framed.shape[0] - shape[0], framed.shape[1] - shape[1]) >= 2 * detect.BORDER
    assert detect.framed(np.ones(shape, np.float32), 256, 320).shape == (256, 320)
