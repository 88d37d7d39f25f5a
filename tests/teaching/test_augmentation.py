import numpy as np

from digitnet.teaching.augmentation import augmented


def test_each_image_is_followed_by_its_copies_which_differ_and_stay_in_range(mnist_digits):
    images = mnist_digits[0][:5]
    found = augmented(images, 3)
    assert found.shape == (20, 28, 28)
    assert np.array_equal(found[::4], images)
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(np.unique(found.reshape(20, -1), axis=0)) == 20


def test_copies_are_the_same_at_every_call(mnist_digits):
    assert np.array_equal(augmented(mnist_digits[0][:2], 4), augmented(mnist_digits[0][:2], 4))


def test_copies_still_show_their_digit(mnist_digits, reader):
    images, labels = mnist_digits
    read = reader.predict_normalised(augmented(images[:20], 4))
    right = [digit.best_guess == label for digit, label in zip(read, np.repeat(labels[:20], 5), strict=True)]
    assert np.mean(right) > 0.95
