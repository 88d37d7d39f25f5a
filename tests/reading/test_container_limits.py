"""Picture files with too many segments."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers import ROOT, run_python
from PIL import Image

from digitnet.errors import ImageError
from digitnet.files import PICTURE_SUFFIXES
from digitnet.reading.container_limits import (
    MAX_EXIF_BYTES,
    MAX_EXIF_SEGMENTS,
    MAX_READS,
    MAX_SCANS,
    MAX_TIFF_VALUES,
)
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


def large_jpeg_with(scans):
    """A progressive JPEG of 4 million pixels, whose last scan, which adds nothing, stands there many times."""
    content = io.BytesIO()
    Image.new("L", (2000, 2000), 255).save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]


def gif_with(extensions, stray=b"", content=b"\x01a"):
    whole = encoded("GIF")
    place = 13 + 3 * 2 ** ((whole[10] & 7) + 1)
    return whole[:place] + stray + (b"\x21\xfe" + content + b"\x00") * extensions + whole[place:]


def tiff_with(tags, data=b"", *, big=False, order="<"):
    """A TIFF of 28 x 28 pixels in one strip; tags are (number, type, count, value or place in `data`)."""
    pixels = b"\xff" * 784
    tags = [(256, 4, 1, 28), (257, 4, 1, 28), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, None), *tags]
    entry, width = (order + "HHQQ", 8) if big else (order + "HHLL", 4)
    begin = 2 * width + (8 if big else 2) + struct.calcsize(entry) * len(tags) + width
    header = struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42)
    header += struct.pack(order + ("HHQQ" if big else "LH"), *((8, 0, 16) if big else (8,)), len(tags))
    entries = []
    for number, kind, count, value in tags:
        if number == 273:
            value = begin + len(data)
        elif value < 0:
            value = begin + ~value
        if order == ">" and kind == 3 and count == 1:
            value <<= 8 * width - 16
        entries.append(struct.pack(entry, number, kind, count, value))
    return header + b"".join(entries) + bytes(width) + data + pixels


def bmp_of_runs(width, height):
    """A BMP with run lengths whose lines are all empty."""
    header = struct.pack("<LHHL", 0, 0, 0, 54) + struct.pack(
        "<LllHHLLllLL", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0
    )
    return b"BM" + header + bytes(1024) + b"\1\1\0\0" * height + b"\0\1"


def directory(tags, big=False):
    entry = "<HHQQ" if big else "<HHLL"
    return struct.pack("<Q" if big else "<H", len(tags)) + b"".join(struct.pack(entry, *tag) for tag in tags) + bytes(8)


COMMENT = b"\xff\xe0\0\2"
MANY = MAX_TIFF_VALUES + 1
MANY_TAGS = [(50_000 + number % 10_000, 3, 1, 1) for number in range(MANY)]
PIECES = "pieces"
ENDLESS = {
    "chunks of a PNG": (png_with(MAX_READS // 2), PIECES),
    "segments of a JPEG": (jpeg_with(MAX_READS // 3), PIECES),
    "segments behind a stray byte": (jpeg_with(1, b"\0" + COMMENT * (MAX_READS // 3)), PIECES),
    "segments behind a restart mark": (b"\xff\xd8\xff\xd0" + jpeg_with(MAX_READS // 3)[2:], PIECES),
    "stray bytes in a JPEG": (jpeg_with(1, bytes(MAX_READS)), PIECES),
    "fill bytes in a JPEG": (jpeg_with(0, b"\xff" * MAX_READS), PIECES),
    "segments of EXIF": (jpeg_with(0, b"\xff\xe1\0\x08Exif\0\0" * (MAX_EXIF_SEGMENTS + 1)), "EXIF segments"),
    "comments of a GIF": (gif_with(MAX_READS // 4), PIECES),
    "comments behind a stray byte": (gif_with(MAX_READS // 4, b"\0"), PIECES),
    "blocks of a comment": (gif_with(1, content=b"\x01a" * (MAX_READS // 2)), PIECES),
    "stray bytes in a GIF": (gif_with(1, bytes(MAX_READS)), PIECES),
    "tags of a BigTIFF": (tiff_with(MANY_TAGS, big=True), "values in the tags"),
    "tags of its EXIF": (tiff_with([(34665, 16, 1, ~0)], directory(MANY_TAGS, True), big=True), "values in the tags"),
    "strips": (tiff_with([(278, 4, 1, 1), (279, 4, MANY, ~0)], bytes(4 * MANY)), "values in the tags"),
    "strips, big-endian": (tiff_with([(279, 4, MANY, ~0)], bytes(4 * MANY), order=">"), "values in the tags"),
    "fractions": (tiff_with([(282, 5, MANY, ~0)], bytes(8 * MANY), big=True), "values in the tags"),
    "empty lines of a BMP": (bmp_of_runs(8_000_000, 1), "run lengths"),
    "EXIF of a PNG": (encoded("PNG", exif=b"II*\0\x08\0\0\0" + bytes(MAX_EXIF_BYTES)), "bytes of EXIF"),
    "scans of a large JPEG": (large_jpeg_with(300), "in all scans"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_small_file_that_would_take_long_is_refused_by_name(kind):
    content, words = ENDLESS[kind]
    for read in (load, size):
        with pytest.raises(ImageError, match=rf"^x\.png: .*more than [\d,]+ .*{words}"):
            read(content, "x.png")


def test_a_file_of_too_many_scans_is_refused_before_it_is_decoded():
    content = encoded("JPEG", progressive=True)
    with pytest.raises(ImageError, match=r"^x\.jpg: more than 1,000 scans"):
        load(content[:-2] + b"\xff\xda\0\x08\1" * MAX_SCANS + content[-2:], "x.jpg")


@pytest.mark.parametrize(
    "content",
    [
        png_with(1000),
        jpeg_with(1000, b"\xff" * 100),
        jpeg_with(1, bytes(1000) + COMMENT * 1000),
        jpeg_with(1) + b"\xff\xda" * 5000,  # as in a video that a phone stores behind the picture
        gif_with(1000, bytes(1000)),
        tiff_with(MANY_TAGS[:1000], big=True),
        tiff_with([(282, 5, 1, ~0)], struct.pack("<LL", 72, 1)),
        tiff_with([(60000, 7, 200_000, ~0)], bytes(200_000)),  # a colour profile, for example
        tiff_with([(282, 5, 2**31, ~0)]),  # it cannot be there, and is skipped
        tiff_with([(34665, 4, 1, ~0)], directory([(34665, 4, 1, 8)])),  # directories in a circle
        tiff_with([], order=">"),
    ],
)
def test_a_file_of_many_segments_is_read(content):
    assert load(content, "x").grey.shape == (28, 28)


def test_what_a_decoder_logs_does_not_go_to_standard_error(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(tiff_with([(277, 3, 1, 892)]))
    code = "import sys; from digitnet.reading.load import load\n"
    code += "try: load(sys.argv[1])\nexcept Exception as error: print(error)"
    finished = run_python("-c", code, path)
    assert finished.stdout.startswith(f"{path}: ")
    assert finished.stderr == ""


def test_a_picture_of_run_lengths_is_read():
    assert load(bmp_of_runs(40, 30), "x").grey.shape == (30, 40)


@pytest.mark.parametrize("content", [png_with(2)[:50], jpeg_with(9)[:30], gif_with(5)[:20], b"\xff\xd8", b"GIF89a"])
def test_a_file_that_ends_early_is_left_to_its_decoder(content):
    with pytest.raises(ImageError, match=r"^x: (damaged or truncated|not a picture)"):
        load(content, "x")


def test_pictures_of_all_kinds_have_few_segments():
    for path in (*(ROOT / "samples").iterdir(), *(ROOT / "sample_pages").iterdir()):
        if path.suffix in PICTURE_SUFFIXES:
            assert min(size(path.read_bytes(), path.name)) > 0
    for image_format in ("WEBP", "BMP", "TIFF"):
        assert size(encoded(image_format), "x") == (28, 28)


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
