import pytest
import torch

from digitnet.loop import augment as augmentation
from digitnet.loop.augment import STRIP, Chance, add_neighbour, augment, bend, blur, vary_shape


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def digits(mnist_digits):
    images, labels = mnist_digits
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels).long()


def test_images_keep_their_shape_and_range_and_the_originals_stay_as_they_are(digits):
    images, labels = digits
    before = images.clone()
    changed = augment(images, labels, generator())
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(images, before)


def test_the_same_generator_gives_the_same_images_and_another_one_others(digits):
    assert torch.equal(augment(*digits, generator(1)), augment(*digits, generator(1)))
    assert not torch.equal(augment(*digits, generator(1)), augment(*digits, generator(2)))


def test_nearly_every_image_changes_and_remains_the_digit_it_was(digits, reader):
    images, labels = digits
    changed = augment(images, labels, generator())
    assert ((changed - images).abs().amax((1, 2, 3)) > 0.1).float().mean() > 0.95
    found = torch.tensor([digit.best_guess for digit in reader.predict_many(list(changed[:, 0].numpy()))])
    assert (found == labels).float().mean() > 0.9


def test_only_ones_sevens_and_zeros_are_given_other_shapes_and_only_by_adding_ink(digits):
    images, labels = digits
    changed = vary_shape(images, labels, Chance(len(images), generator()))
    differs = (changed - images).abs().amax((1, 2, 3)) > 0
    assert set(labels[differs].tolist()) <= {0, 1, 7}
    assert {1, 7} <= set(labels[differs].tolist())
    assert (changed >= images).all()


def test_a_barred_seven_has_its_bar_in_the_middle_third(digits):
    images, labels = digits
    sevens = images[labels == 7]
    added = vary_shape(sevens, torch.full((len(sevens),), 7), Chance(len(sevens), generator())) - sevens
    rows = added.sum((0, 1, 3))
    assert rows[10:20].sum() > 0.9 * rows.sum() > 0


def test_without_strength_nothing_is_bent_but_the_ink_is_centred(digits):
    images, _ = digits
    inside = images[images[:, :, 3:-3, 3:-3].sum((1, 2, 3)) == images.sum((1, 2, 3))]
    moved = inside.roll((3, -2), dims=(2, 3))
    still = bend(moved, torch.zeros(len(moved), 1, 1, 1), Chance(len(moved), generator()))
    axis = torch.arange(28.0)
    for dimension in (2, 3):
        mass = still.sum((1, 5 - dimension))
        assert ((mass * axis).sum(1) / mass.sum(1) - 14).abs().max() < 0.3


def test_blur_spreads_each_image_by_its_own_width_and_keeps_its_ink():
    point = torch.zeros(2, 1, 28, 28)
    point[:, :, 14, 14] = 1
    spread = blur(point, torch.tensor([0.3, 1.2]).view(2, 1, 1, 1))
    assert torch.allclose(spread.sum((1, 2, 3)), torch.ones(2), atol=1e-5)
    assert spread[0, 0, 14, 14] > 0.9 > 0.3 > spread[1, 0, 14, 14]


def test_half_of_all_images_are_bent_only(digits, monkeypatch):
    images, labels = digits
    monkeypatch.setattr(augmentation, "add_leftovers", lambda images, chance: torch.full_like(images, 0.5))
    monkeypatch.setattr(augmentation, "change_camera", lambda images, chance: images)
    changed = augment(images, labels, generator())
    assert (changed == 0.5).all((1, 2, 3)).float().mean() == pytest.approx(0.5, abs=0.12)


class Neighbourly(Chance):
    """Gives every image a neighbour, on either side."""

    def happens(self, probability):
        return self.uniform(0, 1) < (probability if probability == 0.5 else 1.0)


def test_a_neighbours_ink_comes_in_at_one_edge_and_nowhere_else(digits):
    images, _ = digits
    left, right = slice(0, STRIP), slice(28 - STRIP, 28)
    images = images[(images[..., left].amax((1, 2, 3)) == 0) & (images[..., right].amax((1, 2, 3)) == 0)]
    changed = add_neighbour(images, Neighbourly(len(images), generator()))
    at_left, at_right = (changed[..., edge].amax((1, 2, 3)) > 0.4 for edge in (left, right))
    assert len(images) > 100
    assert (at_left ^ at_right).all()
    assert 0.3 < at_left.float().mean() < 0.7
    assert torch.equal(changed[..., STRIP : 28 - STRIP], images[..., STRIP : 28 - STRIP])


def test_a_neighbour_shows_the_side_that_is_turned_to_the_digit():
    image = torch.zeros(1, 1, 28, 28)
    image[..., 10:20, 8:12], image[..., 10:20, 12:19] = 0.5, 1.0  # weaker on its left; its own neighbour here
    seen = set()
    for seed in range(12):
        added = add_neighbour(image, Neighbourly(1, generator(seed))) - image
        seen.add((round(float(added[..., :STRIP].max()), 2), round(float(added[..., -STRIP:].max()), 2)))
    assert seen == {(1.0, 0.0), (0.0, 0.5)}


def test_weak_augmentation_only_bends(digits):
    images, labels = digits
    grey = (images * 0 + 0.2).clone()  # nothing to bend: what changes is pen, leftovers, camera
    inner = slice(8, 20)
    weak, strong = (
        augment(grey, labels, generator(), strongest=strongest)[:, :, inner, inner] for strongest in (0.5, 1.0)
    )
    plain = labels[:, None, None, None] * 0 + (~torch.isin(labels, torch.tensor([0, 1, 7])))[:, None, None, None]
    assert ((weak - 0.2).abs() * plain).max() < 1e-5
    assert (((strong - 0.2).abs() * plain).amax((1, 2, 3)) > 0.02).float().mean() > 0.2
