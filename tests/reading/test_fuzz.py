"""Hostile and damaged bytes: the reader answers or raises its own errors, and nothing else ever comes out."""

import functools

import pytest
from helpers import ROOT, encoded
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from digitnet.errors import ImageError
from digitnet.results import Digit

FORMATS = {
    "JPEG": {},
    "PNG": {},
    "WEBP": {},
    "BMP": {},
    "GIF": {},
    "TIFF": {"compression": "tiff_lzw"},
}
MODES = {"JPEG": ["L", "RGB", "CMYK"], "PNG": ["1", "L", "P", "LA", "RGBA", "I;16"], "TIFF": ["L", "RGB", "CMYK"]}


@functools.cache
def seeds():
    picture = Image.open(ROOT / "samples" / "marker-2.jpg").convert("RGB").resize((48, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(picture.convert(mode), image_format, exif=exif, **options)
        if image_format in ("JPEG", "PNG", "WEBP") and mode != "I;16"
        else encoded(
            picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode), image_format, **options
        )
        for image_format, options in FORMATS.items()
        for mode in MODES.get(image_format, ["RGB"])
    ]


@st.composite
def damaged_files(draw):
    content = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(content) - 1)) if content else 0
        kind = draw(st.sampled_from(["set", "header", "insert", "delete", "cut"]))
        if kind == "set":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "header":
            content[place % 64 : place % 64 + 4] = draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]))
        elif kind == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=12))
        elif kind == "delete":
            del content[place : place + draw(st.integers(1, 40))]
        else:
            del content[place:]
        if not content:
            break
    return bytes(content)


@pytest.mark.filterwarnings("default")
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=damaged_files())
@example(content=b"GIF89a")
@example(content=b"II*\0\x08\0\0\0\xff\xff")
def test_damaged_pictures_give_an_answer_or_an_error_that_names_them(reader, content):
    try:
        digit = reader.predict(content, name="upload.bin")
    except ImageError as error:
        assert str(error).startswith("upload.bin: ")
    else:
        assert isinstance(digit, Digit)


@pytest.mark.filterwarnings("default")
@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_at_all_are_refused_by_name(reader, content):
    with pytest.raises(ImageError, match=r"^upload\.bin: "):
        reader.predict(content, name="upload.bin")


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(8, 200),
    height=st.integers(8, 200),
    mode=st.sampled_from(["1", "L", "RGB", "RGBA", "LA", "P", "CMYK", "I", "F", "I;16"]),
    data=st.data(),
)
def test_any_pixels_in_any_mode_give_ten_probabilities(reader, width, height, mode, data):
    noise = data.draw(st.binary(min_size=64, max_size=64))
    size = len(Image.new(mode, (width, height)).tobytes())
    if mode == "F":  # any four bytes are no number: make the pixels from numbers
        image = Image.frombytes("L", (width, height), (noise * (width * height))[: width * height]).convert("F")
    else:
        image = Image.frombytes(mode, (width, height), (noise * size)[:size])
    digit = reader.predict(image)
    assert sum(digit.probabilities) == pytest.approx(1, abs=1e-4)
    assert (digit.digit is None) == (digit.reason is not None)
