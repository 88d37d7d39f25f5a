import numpy as np
import pytest

from digitnet.reading.contrast import normalise_contrast


@pytest.mark.parametrize("light", [0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_ink_looks_alike_in_any_light(light, dtype):
    grey = np.full((160, 160), 0.9 * light, np.float32)
    grey[60:84, 60:84] = 0.1 * light
    picture = (grey * 255).astype(np.uint8) if dtype == np.uint8 else grey
    normalised = normalise_contrast(picture)
    assert normalised.dtype == np.float32
    assert normalised[65:80, 65:80].mean() < -2
    assert abs(normalised[:20, :20]).max() < 0.5


def test_bare_paper_with_a_little_noise_stays_bare():
    noise = 0.01 * np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
    assert normalise_contrast(np.float32(0.8) + noise).std() < 0.25


def test_light_ink_on_dark_paper_is_the_negative_of_dark_on_light():
    grey = np.random.default_rng(1).random((80, 120), np.float32)
    assert normalise_contrast(1 - grey) == pytest.approx(-normalise_contrast(grey), abs=1e-4)
