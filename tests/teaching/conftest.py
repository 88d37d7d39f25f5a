import numpy as np
import pytest
from PIL import Image

from digitnet import Reader


@pytest.fixture(scope="session")
def picture():
    """Makes a picture with dark ink on white of an image (28, 28)."""
    return lambda image: Image.fromarray((255 - 255 * image).astype(np.uint8))


@pytest.fixture(scope="session")
def odd_hand(mnist_digits, picture):
    """A hand that writes its 2s and 5s mirrored, as no model knows them: 16 of each, and 4 usual 1s; their labels."""
    images, labels = mnist_digits
    twos, fives, ones = (images[labels == label] for label in (2, 5, 1))
    shown = [*twos[:16, :, ::-1], *fives[:16, :, ::-1], *ones[:4]]
    return [picture(image) for image in shown], [2] * 16 + [5] * 16 + [1] * 4


@pytest.fixture(scope="session")
def lesson(reader, odd_hand):
    return reader.teach(*odd_hand)


@pytest.fixture(scope="session")
def taught_path(lesson, tmp_path_factory):
    path = tmp_path_factory.mktemp("taught") / "mine.onnx"
    path.write_bytes(lesson.model)
    return path


@pytest.fixture(scope="session")
def taught(taught_path):
    return Reader(taught_path)
