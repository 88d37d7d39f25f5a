import numpy as np
import pytest
import torch

from digitnet.loop import negatives
from digitnet.loop.negatives import add_negatives, pools, spoil
from digitnet.reading.answer import NOT_A_DIGIT


@pytest.fixture
def batch(mnist_digits):
    images, labels = mnist_digits
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels).long()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_batch_comes_back_as_it_was_with_foreign_digits_and_negatives_after_it(batch):
    images, labels = add_negatives(*batch, generator())
    count = len(batch[0])
    assert torch.equal(images[:count], batch[0])
    assert torch.equal(labels[:count], batch[1])
    added = labels[count:]
    assert images.shape[1:] == (1, 28, 28)
    assert images.min() >= 0
    assert images.max() <= 1
    assert 0 < int((added < NOT_A_DIGIT).sum()) < int((added == NOT_A_DIGIT).sum()) < count / 3
    assert labels.max() == NOT_A_DIGIT


def test_stroke_digits_are_added_as_often_as_asked(batch):
    digits, letters = ((250 * torch.rand(many, 1, 28, 28, generator=generator())).byte() for many in (50, 20))
    pool_labels = torch.arange(50) % 10
    images, labels = add_negatives(*batch, generator(), (digits, pool_labels, letters), 0.3)
    plain, plain_labels = add_negatives(*batch, generator())
    strokes = slice(len(batch[0]), len(batch[0]) + round(0.3 * len(batch[0])))
    places = [(image * 255).round().byte().eq(digits).flatten(1).all(1).nonzero()[0] for image in images[strokes]]
    assert torch.equal(pool_labels[torch.cat(places)], labels[strokes])
    more_negatives = int((labels == NOT_A_DIGIT).sum() - (plain_labels == NOT_A_DIGIT).sum())
    assert len(images) - len(plain) == 60 + more_negatives
    assert more_negatives == pytest.approx(0.4 * 60, abs=3)  # letters by the same pens, and spoiled stroke digits


def test_the_same_seed_adds_the_same_images_and_another_seed_does_not(batch):
    one, again, other = (add_negatives(*batch, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_pools_are_copied_to_the_device_once_and_not_for_every_batch(batch, monkeypatch):
    copies = []

    class Pool(torch.Tensor):
        def to(self, device):
            copies.append(device)
            return self.as_subclass(torch.Tensor)

    counted = tuple(pool.as_subclass(Pool) for pool in pools())
    monkeypatch.setattr(negatives, "pools", lambda: counted)
    negatives._pools_on.cache_clear()
    for _ in range(3):
        add_negatives(*batch, generator())
    negatives._pools_on.cache_clear()
    assert len(copies) == len(counted)


def test_foreign_digits_are_read_as_what_they_are_labelled(reader):
    digits, labels, _ = pools()
    read = reader.predict_normalised(digits[:, 0].float().numpy() / 255)
    right = np.mean([digit.best_guess == label for digit, label in zip(read, labels.tolist(), strict=True)])
    assert right > 0.97  # a hundred hands, some of them hard even for people


def test_nothing_in_the_pools_is_blank_and_everything_is_normalised():
    digits, labels, letters_and_drawings = pools()
    assert sorted(set(labels.tolist())) == list(range(10))
    for pool in (digits, letters_and_drawings):
        assert pool.dtype == torch.uint8
        assert (pool.flatten(1).max(1).values > 200).all()
        inked_rows = (pool > 25).any(3).sum(2).flatten()
        inked_columns = (pool > 25).any(2).sum(2).flatten()
        assert torch.maximum(inked_rows, inked_columns).float().mean() == pytest.approx(20, abs=1)


def test_a_spoiled_digit_is_no_longer_the_digit(batch, reader):
    """The package's model was trained to say so; what matters is that it is not fooled into another digit."""
    spoiled = spoil(*batch, generator())
    assert spoiled.shape == batch[0].shape
    answered = [digit.digit is not None for digit in reader.predict_normalised(spoiled[:, 0].numpy())]
    assert np.mean(answered) < 0.15


def test_a_spoiled_zero_is_not_a_zero_turned(batch):
    zeros = batch[0][batch[1] == 0]
    spoiled = spoil(zeros, torch.zeros(len(zeros), dtype=torch.long), generator())
    turned = zeros.rot90(1, (2, 3))
    assert not any(torch.equal(one, other) for one, other in zip(spoiled, turned, strict=True))
