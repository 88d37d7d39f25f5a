import itertools

import numpy as np
import pytest

from digitnet.reading.boxes import areas, intersection_over_union, overlapping_pairs, partners, shared_areas


def boxes_of(count, width, height, largest, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, (width, height), (count, 2))
    return np.concatenate([corners, corners + rng.uniform(0.5, largest, (count, 2))], axis=1)


def test_intersection_over_union_is_the_shared_area_by_the_joint_one():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]], float)
    assert areas(boxes).tolist() == [100, 100, 100]
    assert shared_areas(boxes[:1, np.newaxis], boxes).tolist() == [[100, 50, 0]]
    assert intersection_over_union(boxes[0], boxes) == pytest.approx([1, 1 / 3, 0])


@pytest.mark.parametrize(
    ("count", "width", "height", "largest"),
    [(0, 9, 9, 9), (1, 9, 9, 9), (60, 100, 100, 30), (200, 1000, 5, 40), (200, 5, 1000, 40), (150, 300, 300, 250)],
)
def test_overlapping_pairs_are_those_that_share_area_each_once_both_ways(count, width, height, largest):
    boxes = boxes_of(count, width, height, largest) - 20
    shared = shared_areas(boxes[:, np.newaxis], boxes)
    expected = [(a, b) for a, b in itertools.permutations(range(count), 2) if shared[a, b] > 0]
    assert list(zip(*(ends.tolist() for ends in overlapping_pairs(boxes)), strict=True)) == expected


def test_partners_stand_in_the_order_of_the_pairs():
    assert partners((np.array([0, 0, 1, 2]), np.array([1, 2, 0, 0])), 4) == [[1, 2], [0], [0], []]


def test_a_page_four_times_as_full_has_about_four_times_as_many_pairs():
    def pairs(side):
        corners = 20.0 * np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
        return len(overlapping_pairs(np.concatenate([corners, corners + 25], axis=1))[0])

    assert pairs(60) < 4.5 * pairs(30)
