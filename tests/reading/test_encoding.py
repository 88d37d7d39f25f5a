import base64
import io

import numpy as np
from PIL import Image

from digitnet.reading.encoding import jpeg, png, png_data_url


def ramp():
    return np.linspace(0, 1, 40 * 30, dtype=np.float32).reshape(40, 30)


def pixels(content, image_format):
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.mode) == (image_format, "L")
        return np.asarray(image, np.float32) / 255


def test_a_png_holds_the_image_to_half_a_grey_level():
    assert np.abs(pixels(png(ramp()), "PNG") - ramp()).max() <= 0.5 / 255 + 1e-6


def test_a_jpeg_holds_about_the_image():
    assert np.abs(pixels(jpeg(ramp()), "JPEG") - ramp()).mean() < 0.02


def test_a_data_url_holds_the_png():
    head, _, content = png_data_url(ramp()).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == png(ramp())
