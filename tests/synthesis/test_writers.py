import numpy as np
import pytest

from digitnet.synthesis.hands import Hand
from digitnet.synthesis.writers import Pool, printed, random_writer


@pytest.fixture(scope="module")
def pool(maker):
    return maker.pool


def test_a_share_of_the_writers_writes_stroke_by_stroke_and_each_in_one_hand(pool):
    rng = np.random.default_rng(0)
    writers = [random_writer(pool, rng, frozenset(), strokes=0.4) for _ in range(200)]
    by_strokes = [writer.strokes for writer in writers if writer.strokes]
    assert 50 < len(by_strokes) < 110
    assert len({id(hand) for hand in by_strokes}) == len(by_strokes)
    own = [hand.variant(label, rng).kind for hand in by_strokes[:1] for label in range(10) for _ in range(30)]
    assert len(set(own)) <= 20  # one or two ways to write each digit


@pytest.mark.parametrize("strokes", [0.0, 1.0])
@pytest.mark.parametrize("label", range(10))
def test_a_writer_writes_the_digit_asked_for_at_its_height(pool, label, strokes):
    rng = np.random.default_rng(label)
    for _ in range(5):
        writer = random_writer(pool, rng, frozenset(), strokes)
        patch, written = writer.digit(rng, label, Hand(40))
        assert written == label
        assert 26 < max(patch.shape) < 75
        assert patch.max() > 0.7


def test_a_writer_without_an_order_writes_only_the_digits_of_the_pool(maker):
    chosen = np.isin(maker.pool.labels, (3, 9))
    pool = Pool.of(maker.pool.digits[chosen], maker.pool.labels[chosen], maker.pool.negatives)
    rng = np.random.default_rng(1)
    for strokes in (0.0, 1.0):
        writer = random_writer(pool, rng, frozenset(), strokes)
        assert {writer.digit(rng)[1] for _ in range(60)} == {3, 9}


def test_a_writer_writes_apart_and_level_unless_the_difficulties_say_otherwise(pool):
    rng = np.random.default_rng(2)
    plain = [random_writer(pool, rng, frozenset()).hand for _ in range(100)]
    hard = [random_writer(pool, rng, frozenset({"touching", "slope"})).hand for _ in range(100)]
    assert all(hand.gap > 0 and abs(hand.slope) < 0.05 and not hand.joined for hand in plain)
    assert all(hand.gap < 0.07 and abs(hand.slope) > 0.05 for hand in hard)


@pytest.mark.parametrize("height", [7, 20])
def test_a_printed_word_has_ink_and_about_the_height_asked_for(height):
    for seed in range(10):
        word = printed(np.random.default_rng(seed), height)
        assert word.max() > 0.5
        assert 0.7 * height < len(word) < 2.2 * height
