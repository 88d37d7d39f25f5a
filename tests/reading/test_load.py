import io
import struct
import threading
import zlib

import numpy as np
import pytest
import torch
from helpers import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile

from digitnet.errors import CancelledError, ImageError, ImageTooLargeError
from digitnet.reading import load as picture
from digitnet.reading.load import load
from digitnet.results import Box


class OnlyDLPack:
    """A tensor of a library that speaks DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def as_array(image):
    return np.asarray(image, np.float32) / 255


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_every_format_is_read_from_a_path_from_bytes_and_from_a_stream(image_format, seven, tmp_path):
    content = encoded(
        seven, image_format, **{"WEBP": {"lossless": True}, "JPEG": {"quality": 98}}.get(image_format, {})
    )
    path = tmp_path / "seven"
    path.write_bytes(content)
    allowed = 0.1 if image_format == "JPEG" else 0.01
    for source in (path, str(path), content, bytearray(content), io.BytesIO(content)):
        assert np.abs(load(source).grey - as_array(seven)).max() <= allowed


def test_a_pil_image_and_its_array_are_the_same_picture(seven):
    assert np.array_equal(load(seven).grey, load(np.asarray(seven)).grey)


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV"])
def test_every_colour_mode_gives_the_same_grey(mode, seven):
    grey = as_array(seven)
    if mode in ("I", "F"):
        converted = Image.fromarray((grey * 65535).astype(np.int32 if mode == "I" else np.float32))
    elif mode == "I;16":
        converted = Image.fromarray((grey * 65535).astype(np.uint16))
    elif mode == "HSV":
        converted = seven.convert("RGB").convert("HSV")
    else:
        converted = seven.convert(mode)
    assert np.abs(load(converted).grey - grey).max() < 0.02


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_arrays_of_any_depth_use_their_whole_range(bits, seven):
    deep = (as_array(seven) * (2**bits - 1)).astype(np.uint16)
    assert np.abs(load(deep).grey - as_array(seven)).max() < 0.01


@pytest.mark.parametrize(
    "convert",
    [
        lambda g: g,
        lambda g: g[None],
        lambda g: g[..., None],
        lambda g: np.stack([g] * 3, -1),
        lambda g: g > 0.5,
        lambda g: (g * 255).astype(np.int64),
        lambda g: g.astype(np.float64),
        lambda g: np.asfortranarray(g),
        lambda g: (g * 255).astype(np.uint8)[::1, ::-1][:, ::-1],
        lambda g: np.stack([g] * 3),
        lambda g: torch.from_numpy(g),
        lambda g: torch.from_numpy(g)[None].requires_grad_(),
        lambda g: torch.from_numpy((g * 255).astype(np.uint8)).expand(3, -1, -1),
        lambda g: OnlyDLPack(g),
        lambda g: (g > 0.5).astype(np.uint8),
        lambda g: (g > 0.5).astype(np.int64),
        lambda g: g * 1.06 - 0.03,  # as bicubic resampling overshoots
    ],
)
def test_arrays_of_every_accepted_shape_and_type_are_the_same_picture(convert, seven):
    grey = as_array(seven)
    assert np.abs(load(convert(grey)).grey - grey).max() < 0.01


def test_a_tensor_that_numpy_cannot_read_is_an_error_that_says_what_to_do():
    with pytest.raises(ImageError, match="copy it to the CPU"):
        load(torch.zeros(28, 28, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 4, 5, 6)), "shape"),
        (np.zeros(28), "shape"),
        (np.zeros((0, 28)), "shape"),
        (np.zeros((28, 28, 2)), "shape"),
        (np.full((28, 28), np.nan), "finite"),
        (np.zeros((28, 28), complex), "complex"),
        (np.full((28, 28), "a"), "numbers"),
        (np.zeros((4, 7)), "too small"),
        ((np.linspace(0, 1, 784).reshape(28, 28) - 0.1307) / 0.3081, r"values from -0\.4242 to 2\.821; use \[0, 1\]"),
        (np.linspace(0, 3, 784).reshape(28, 28), "values from 0 to 3"),
        (np.linspace(-1, 1, 784).reshape(28, 28), "values from -1 to 1"),
        (np.full((28, 28), -5), "values from -5 to -5"),
    ],
)
def test_an_array_that_is_no_picture_is_refused_by_name(array, words):
    with pytest.raises(ImageError, match=words):
        load(array)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_as_their_exif_says(orientation, seven, tmp_path):
    tall = Image.new("L", (120, 200), 255)
    tall.paste(seven, (0, 0))
    operations = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = tall.transpose(operations[orientation]) if orientation in operations else tall
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load(encoded(stored, "PNG", exif=exif))
    assert (loaded.width, loaded.height) == (120, 200)
    assert np.abs(loaded.grey - as_array(tall)).max() < 0.01


def test_transparent_paper_counts_as_white(seven):
    ink = Image.new("RGBA", seven.size, (0, 0, 0, 0))
    red = Image.new("RGBA", seven.size, (200, 0, 0, 255))
    mask = Image.eval(seven, lambda value: 255 - value)
    ink.paste(red, (0, 0), mask)
    ink.paste((0, 90, 0, 255), (0, 60), mask.crop((0, 60, 120, 120)))
    grey = load(encoded(ink, "PNG")).grey
    assert grey[0, 0] == 1
    assert grey[30, 60] < 0.4


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (30, 90, 200)])
def test_where_only_alpha_carries_the_drawing_alpha_is_the_ink(colour, seven):
    drawing = Image.new("RGBA", seven.size, (*colour, 0))
    drawing.putalpha(Image.eval(seven, lambda v: 255 - v))
    assert np.abs(load(encoded(drawing, "PNG")).grey - as_array(seven)).max() < 0.01


def test_the_first_frame_of_an_animation_counts(seven):
    other = Image.new("L", seven.size, 0)
    content = encoded(seven, "GIF", save_all=True, append_images=[other])
    assert np.abs(load(content).grey - as_array(seven)).max() < 0.01


def test_a_large_picture_is_reduced_and_remembers_its_size():
    loaded = load(encoded(Image.new("L", (4000, 3000), 200), "JPEG"))
    assert (loaded.width, loaded.height) == (4000, 3000)
    assert max(loaded.grey.shape) <= picture.WORKING_SIDE
    assert loaded.scale == pytest.approx([4000 / max(loaded.grey.shape)] * 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(40, 12_000), (9000, 8), (1, 1_000_000), (3, 300_000)])
def test_a_very_long_picture_keeps_enough_of_its_short_side_and_grows_no_larger_than_others(shape, dtype):
    loaded = load(np.zeros(shape, dtype))
    assert min(loaded.grey.shape) >= min(40, *shape)
    assert loaded.grey.size <= picture.WORKING_SIDE**2


def test_a_box_of_a_thin_picture_that_is_reduced_more_one_way_than_the_other_is_in_its_place():
    loaded = load(np.zeros((6, 400_000), np.uint8))
    height, width = loaded.grey.shape
    assert loaded.boxes_as_given(np.array([[width / 2, height / 2, width, height]])) == [Box(200_000, 3, 200_000, 3)]


def png_header(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8_100, 20_000, 100_000])
def test_too_many_pixels_are_refused_on_the_header_before_anything_is_decoded(side, monkeypatch):
    def decoded(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", decoded)
    with pytest.raises(ImageTooLargeError, match="million pixels"):
        load(png_header(side, side), "bomb.png")


def test_a_bomb_is_named_in_our_words_with_its_size_and_what_to_do():
    for side, found in ((8_100, "8100x8100"), (20_000, "400000000 pixels")):
        with pytest.raises(ImageTooLargeError) as caught:
            load(png_header(side, side), "bomb.png")
        assert str(caught.value) == f"bomb.png: {found} is more than 64 million pixels; reduce it first"


def test_fifty_megapixels_are_read():
    content = encoded(Image.new("1", (8160, 6144), 1), "PNG")
    assert load(content).width == 8160


def test_a_file_or_stream_beyond_the_limit_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(picture, "MAX_BYTES", 1000)
    path = tmp_path / "long.png"
    path.write_bytes(b"x" * 1001)
    for source in (path, b"x" * 1001, io.BytesIO(b"x" * 5000)):
        with pytest.raises(ImageTooLargeError, match="larger than"):
            load(source)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP", "JPEG", "BMP"])
def test_a_truncated_file_is_an_error_that_names_it(image_format, seven, tmp_path):
    content = encoded(seven, image_format)
    path = tmp_path / "cut.img"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"cut\.img: .*(truncated|not a picture)"):
        load(path)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_a_decoder_that_runs_is_stopped_in_the_middle_of_its_file(image_format, monkeypatch):
    content = encoded(Image.effect_noise((1000, 1000), 100), image_format)
    decoding = threading.Event()
    loaded = ImageFile.ImageFile.load

    def load_and_tell(image):
        decoding.set()
        return loaded(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load_and_tell)
    with pytest.raises(CancelledError):
        load(content, is_cancelled=decoding.is_set)
    assert decoding.is_set()
    assert load(content, is_cancelled=lambda: False).width == 1000


@pytest.mark.parametrize("image_format", ["PPM", "ICO", "TGA", "PCX", "EPS", "PDF"])
def test_formats_outside_the_list_are_refused(image_format, seven):
    with pytest.raises(ImageError, match="not a picture of a known format"):
        load(encoded(seven, image_format))


def test_what_is_no_picture_at_all_is_an_error_that_names_it(tmp_path):
    for source, words in (
        (tmp_path, "cannot be opened"),
        (tmp_path / "missing.png", "No such file"),
        ("nul\0l.png", "cannot be opened"),
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (io.StringIO("text"), "binary mode"),
        (7, "not a picture"),
    ):
        with pytest.raises(ImageError, match=words):
            load(source)


@settings(max_examples=150, deadline=None)
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 66), st.integers(1, 66))),
    level=st.integers(0, 9),
    flipped=st.none() | st.integers(0, 10_000),
)
def test_a_small_png_gives_the_same_by_the_short_way_and_by_pillow(pixels, level, flipped):
    content = bytearray(encoded(Image.fromarray(pixels), "PNG", compress_level=level))
    if flipped is not None:
        content[flipped % len(content)] ^= 4

    def outcome():
        try:
            picture = load(bytes(content))
        except ImageError as error:
            return str(error)
        return picture.grey.tobytes(), picture.width, picture.height

    short = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitnet.reading.load._small_png", lambda content: None)
        assert outcome() == short
