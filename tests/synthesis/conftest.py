import numpy as np
import pytest

from digitnet.synthesis.pages import PageMaker


@pytest.fixture(scope="module")
def maker(mnist_digits):
    images = (mnist_digits[0] * 255).astype(np.uint8)
    negatives = images[:20].transpose(0, 2, 1)
    return PageMaker(images, mnist_digits[1], np.ascontiguousarray(negatives))
