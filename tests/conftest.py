import os

# Before torch is imported, here and in the processes that tests start: small networks are quicker on one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image, ImageDraw


@pytest.fixture(scope="session")
def mnist_digits():
    """MNIST test digits that the package carries: images (200, 28, 28) in [0, 1] and labels (200,)."""
    with np.load(ROOT / "digitnet" / "weights" / "digits.npz") as file:
        return file["images"].astype(np.float32) / np.float32(255), file["labels"]


@pytest.fixture(scope="session")
def reader():
    from digitnet import Reader

    return Reader()


@pytest.fixture(scope="session")
def seven():
    """A 7 in dark ink on white, 120x120, mode L."""
    image = Image.new("L", (120, 120), 255)
    ImageDraw.Draw(image).line([(35, 30), (80, 30), (55, 95)], fill=0, width=9, joint="curve")
    return image


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
def weights_path(tmp_path_factory):
    """A model.pth with the weights of an untrained DigitNet."""
    import torch

    from digitnet.model import DigitNet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save(DigitNet().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def exported(weights_path):
    """The ONNX form of the DigitNet in `weights_path`; made once, since calibration takes seconds."""
    from digitnet.training.export import to_onnx

    return to_onnx(weights_path)


@pytest.fixture
def tiny(monkeypatch):
    """Enough of MNIST to compare bits and rates: 6 batches of 100."""
    import small_main

    small_main.install(training=600, replace=monkeypatch.setattr)
