from collections import Counter

import numpy as np
import pytest

from digitnet.synthesis.paper import guilloche
from digitnet.synthesis.photos import EVERY, photographed, random_difficulties


def sheet():
    ink = np.zeros((60, 90), np.float32)
    ink[20:40, 30:50] = 1
    return ink


def test_most_pages_have_no_or_one_difficulty_and_every_difficulty_occurs():
    rng = np.random.default_rng(0)
    drawn = [random_difficulties(rng) for _ in range(1000)]
    counts = Counter(map(len, drawn))
    assert counts[0] > 300
    assert counts[0] + counts[1] > 650
    assert set().union(*drawn) == set(EVERY)


def test_an_easy_picture_has_flat_paper_and_clear_ink():
    for seed in range(30):
        picture = photographed(sheet(), [guilloche], frozenset(), np.random.default_rng(seed)).astype(float)
        paper, ink = picture[:15], picture[23:37, 33:47]
        assert paper.std() < 12
        assert abs(paper.mean() - ink.mean()) > 30


@pytest.mark.parametrize("difficulty", ["paper", "light", "noise", "skips", "see-through", "faint", "jpeg", "blur"])
def test_a_difficulty_changes_the_picture(difficulty):
    pictures = [
        [photographed(sheet(), [guilloche], chosen, np.random.default_rng(seed)) for seed in range(3)]
        for chosen in (frozenset(), frozenset({difficulty}))
    ]
    assert not np.array_equal(*pictures)


def test_faint_ink_is_weaker_than_any_other():
    def contrast(difficulties, seed):
        picture = photographed(sheet(), [guilloche], difficulties, np.random.default_rng(seed)).astype(float)
        return abs(picture[23:37, 33:47].mean() - picture[:15].mean())

    seeds = range(20)
    assert np.median([contrast(frozenset({"faint"}), seed) for seed in seeds]) < 70
    assert np.median([contrast(frozenset(), seed) for seed in seeds]) > 110
