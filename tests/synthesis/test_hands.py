import cv2
import numpy as np
import pytest

from digitnet.synthesis.hands import Hand, handwritten, thinned


@pytest.mark.parametrize("height", [12, 40, 110])
@pytest.mark.parametrize("pen", [None, 0.05, 0.15])
def test_a_digit_is_as_tall_as_the_hand_writes_and_as_thick_as_its_pen(maker, height, pen):
    source = maker.pool.digits if pen is None else maker.pool.thin
    index = int(np.flatnonzero(maker.pool.labels == 0)[0])
    patch = handwritten(source[index], Hand(height, pen=pen))
    assert len(patch) == pytest.approx(height, abs=max(2, 0.1 * height))
    if pen and pen * height >= 2:
        strokes = cv2.distanceTransform(np.pad(patch > 0.3, 1).astype(np.uint8), cv2.DIST_L2, 5)
        # In a stroke of width w the distance to its edge, counted from 1, is w / 4 + 1 / 2 on average.
        assert 4 * strokes[strokes > 0].mean() - 2 == pytest.approx(pen * height, abs=1 + 0.25 * pen * height)


def test_thinned_digits_are_lines_that_keep_their_loops(maker):
    zeros = maker.pool.digits[maker.pool.labels == 0]
    lines = thinned(zeros)
    assert all(20 < (line > 0).sum() < 250 for line in lines)
    # What is around the line, and what is in its loop; some zeros were never closed.
    grounds = [cv2.connectedComponents(255 - line, connectivity=4)[0] - 1 for line in lines]
    assert np.mean([count >= 2 for count in grounds]) > 0.8
