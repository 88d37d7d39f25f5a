"""Picture files with too many segments."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from digitnet.errors import ImageError
from digitnet.reading.container_limits import MAX_SCANS, MAX_SEGMENTS, check_segments
from digitnet.reading.load import load, size


def encoded(image_format, **options):
    content = io.BytesIO()
    Image.new("L", (28, 28), 255).save(content, image_format, **options)
    return content.getvalue()


def png_with(chunks):
    whole = encoded("PNG")
    empty = struct.pack(">I", 0) + b"teXt" + struct.pack(">I", zlib.crc32(b"teXt"))
    return whole[:33] + empty * chunks + whole[33:]  # after the header's chunk


def jpeg_with(segments, filling=b""):
    whole = encoded("JPEG")
    return whole[:2] + b"\xff\xec\x00\x02" * segments + filling + whole[2:]


def gif_with(extensions):
    whole = encoded("GIF")
    place = 13 + 3 * 2 ** ((whole[10] & 7) + 1)
    return whole[:place] + b"\x21\xfe\x01a\x00" * extensions + whole[place:]


@pytest.mark.parametrize(
    "content",
    [
        png_with(MAX_SEGMENTS),
        jpeg_with(MAX_SEGMENTS),
        jpeg_with(0, filling=b"\xff" * (MAX_SEGMENTS + 1)),
        gif_with(MAX_SEGMENTS),
    ],
)
def test_a_file_of_too_many_segments_is_refused_before_it_is_decoded(content):
    for read in (check_segments, load, size):
        with pytest.raises(ImageError, match=r"^x\.png: more than 50,000 segments"):
            read(content, "x.png")


def test_a_file_of_too_many_scans_is_refused_before_it_is_decoded():
    content = encoded("JPEG", progressive=True)
    with pytest.raises(ImageError, match=r"^x\.jpg: more than 1000 scans"):
        load(content[:-2] + b"\xff\xda\x00\x02" * MAX_SCANS + content[-2:], "x.jpg")


@pytest.mark.parametrize("content", [png_with(1000), jpeg_with(1000, filling=b"\xff" * 100), gif_with(1000)])
def test_a_file_of_many_segments_is_read(content):
    assert load(content, "x").grey.shape == (28, 28)


@pytest.mark.parametrize("content", [png_with(2)[:50], jpeg_with(9)[:30], gif_with(5)[:20], b"\xff\xd8", b"GIF89a"])
def test_a_file_that_ends_early_is_left_to_its_decoder(content):
    check_segments(content, "x")


def test_pictures_of_all_kinds_have_few_segments():
    for path in (*(ROOT / "samples").iterdir(), *(ROOT / "sample_pages").iterdir()):
        check_segments(path.read_bytes(), path.name)
    for image_format in ("WEBP", "BMP", "TIFF"):
        check_segments(encoded(image_format), "x")


@pytest.mark.parametrize("mode", ["LA", "RGBA", "I;16"])
def test_large_deep_and_transparent_pictures_look_as_small_ones_do(mode):
    ink = np.full((600, 500), 255, np.uint8)
    ink[100:500, 200:300] = 40
    if mode == "I;16":
        image = Image.fromarray(ink.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(ink).convert(mode)
        image.putalpha(Image.fromarray(np.where(ink < 128, 255, 200).astype(np.uint8)))
    content = io.BytesIO()
    image.save(content, "PNG")
    whole = load(content.getvalue(), "x", side=600)
    small = load(content.getvalue(), "x", side=100)
    content = io.BytesIO()
    image.save(content, "TIFF", tiffinfo={0x0112: 8})  # the picture is to be turned by a quarter
    turned = load(content.getvalue(), "x", side=100)
    assert (turned.grey.shape, turned.width, turned.height) == ((83, 100), 600, 500)
    assert np.abs(turned.grey - np.rot90(small.grey)).mean() < 0.02
    assert small.grey.shape == (100, 83)
    assert (small.width, small.height) == (500, 600)
    assert small.grey.min() == pytest.approx(whole.grey.min(), abs=0.01)
    assert small.grey.mean() == pytest.approx(whole.grey.mean(), abs=0.005)
