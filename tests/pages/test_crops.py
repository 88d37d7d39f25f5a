import numpy as np
import pytest
from helpers import page_of

from digitnet.pages.crops import crops
from digitnet.pages.detect import Detection


def detections_at(boxes, spare=0):
    return [
        Detection(x - spare, y - spare, x + width + spare, y + height + spare, np.zeros(10, np.float32))
        for x, y, width, height in boxes
    ]


@pytest.mark.parametrize("dark_ink", [True, False])
def test_digits_cut_out_of_a_page_are_read(reader, mnist_digits, dark_ink):
    text = "0123456789"
    grey, boxes = page_of(mnist_digits, [text])
    images, free = crops(grey if dark_ink else 1 - grey, detections_at(boxes))
    assert images.shape == (10, 28, 28)
    assert free.tolist() == [1] * 10
    assert (images.min(), images.max()) == (0, 1)
    assert "".join(str(digit.best_guess) for digit in reader.predict_normalised(images)) == text


def test_a_crop_has_no_neighbour_in_it(mnist_digits):
    alone, (box,) = page_of(mnist_digits, ["8"])
    beside, boxes = page_of(mnist_digits, ["18"])
    ((one,), _), ((other,), _) = crops(alone, detections_at([box])), crops(beside, detections_at(boxes[1:], spare=3))
    assert np.abs(one - other).mean() < 0.03


def test_where_there_is_no_ink_a_crop_is_empty_and_edges_do_no_harm():
    paper = np.full((50, 80), 0.8, np.float32)
    boxes = [(10, 10, 20, 30), (-8, -8, 20, 30), (70, 40, 30, 40), (79, 49, 1, 1)]
    images, free = crops(paper, detections_at(boxes))
    assert not images.any()
    assert not free.any()
    assert crops(paper, [])[0].shape == (0, 28, 28)


def test_a_detection_that_cuts_strokes_off_does_not_stand_free():
    paper = np.ones((90, 160), np.float32)
    paper[20:70, 40:46], paper[44:48, 40:120] = 0, 0  # a stem with a long bar to the right
    whole, cut = detections_at([(36, 16, 88, 58), (30, 16, 40, 58)])
    _, free = crops(paper, [whole, cut])
    assert free[0] == 1
    assert 0.3 < free[1] < 0.9
