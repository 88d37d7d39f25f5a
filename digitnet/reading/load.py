"""Any picture to upright grey pixels, safely.

Bytes from anywhere may be hostile. So the list of formats is short, the size is checked in the header before a pixel
is decoded, and whatever a decoder raises on damaged data becomes an `ImageError` that names the picture.
"""

import contextlib
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from digitnet.errors import DigitNetError, ImageError, ImageTooLargeError
from digitnet.reading.container_limits import PNG, opened
from digitnet.reading.work import IsCancelled
from digitnet.results import Box

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MIN_SIDE = 8  # pixels; if the longer side has fewer, there is no digit to be seen
MAX_PIXELS = 64_000_000  # above the 50 megapixels of large phone photos, far below what fills a small machine
MAX_BYTES = 512 * 2**20
ORIENTATION = 0x0112  # the EXIF tag
WORKING_SIDE = 1024  # pixels; larger pictures of one digit are reduced to this before anything looks at them
LONG = 16  # times as long as wide; longer pictures are reduced less
OVERSHOOT = 0.1  # resampling takes floats in [0, 1] this far outside; such values are clipped
LEAST_PEAK = 16  # a float picture with a smaller peak above 1 is in neither of the usual ranges
FULL_SCALES = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits

SMALL_PNG_SIDE, SMALL_PNG_BYTES = 64, 8192
# Of a PNG (ISO 15948, 5 and 11.2.2), from byte 8: length, type, width, height, depth, colour, compression, filter,
# interlacing, checksum; length and type of the next chunk. At its end stands the chunk IEND.
PNG_START = struct.Struct(">I4sII5BII4s")
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
LAST_PNG_FILTER = 4

# Of what a decoder logs, nothing may go to standard error without the picture's name; a program's own handlers get it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

Grey = npt.NDArray[np.float32]


class ArrayLike(Protocol):
    """What numpy can make an array of: a tensor of PyTorch, JAX or TensorFlow, for example."""

    def __array__(self) -> npt.NDArray[Any]:
        """The values."""


Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | npt.NDArray[Any] | ArrayLike


@dataclass(frozen=True)
class Picture:
    """Upright grey pixels of a picture.

    Attributes:
        name: what messages call it.
        grey: (H, W), float32 in [0, 1], 1 is white. Its `long_side` has at most the pixels that `load` was asked for.
        width, height: of the upright picture as it was given, in pixels.
    """

    name: str
    grey: Grey
    width: int
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the given picture for one pixel of `grey`, across and down."""
        height, width = self.grey.shape
        return self.width / int(width), self.height / int(height)

    def boxes_as_given(self, edges: "npt.NDArray[np.float64]") -> list[Box]:
        """Boxes with these edges (N, 4), in pixels of `grey`, as boxes in pixels of the picture as it was given.

        Edges (left, top, right, bottom) are rounded and clipped to the picture. Width and height are at least 1.
        """
        sizes = [self.width, self.height]
        first = np.clip(np.rint(edges[:, :2] * self.scale), 0, None)
        last = np.minimum(np.rint(edges[:, 2:] * self.scale), sizes)
        rows = np.concatenate([first, np.maximum(last - first, 1)], axis=1).astype(int)
        return [Box(*row) for row in rows.tolist()]


def long_side(shape: tuple[int, ...]) -> float:
    """What counts as the longer side of a picture with these two sides, in pixels.

    In a very long picture it is shorter than the longer side. So its digits keep their pixels when it is reduced, and
    it has no more pixels than a square of this side.
    """
    shorter, longer = sorted(shape)
    return max(min(longer, LONG * shorter), longer / LONG)


def load(
    source: Source, name: str | None = None, *, side: int = WORKING_SIDE, is_cancelled: IsCancelled | None = None
) -> Picture:
    """The picture in a path, bytes, a binary stream, a PIL image, an array or a tensor, upright and grey.

    A picture whose `long_side` has more than `side` pixels is reduced to that.

    An array or tensor is (H, W), (1, H, W), (H, W, 1), (H, W, 3) or (3, H, W) RGB, (H, W, 4) or (4, H, W) RGBA.
    Its values are booleans, floats in [0, 1] with 1 as white, or numbers whose full scale is the smallest of 8, 10,
    12, 14 or 16 bits that holds their peak. Integers of 0 and 1 count as booleans. Tensors are taken through
    `__array__` or DLPack.

    Transparent pixels are laid on white. Where the alpha channel alone carries the drawing, alpha is the ink. Of an
    animation, the first frame counts.

    Args:
        is_cancelled: asked now and then, also while a file is decoded.

    Raises:
        CancelledError: `is_cancelled` says True.
        ImageError: not a picture of an accepted format, damaged, fewer than 8 pixels on its longer side, or numbers
            outside of the ranges.
        ImageTooLargeError: more than 64 million pixels, or a file of more than 512 MiB.
    """
    if isinstance(source, Image.Image):
        name = name or "image"
        with decoding(name):
            _check_size(source.size, name)
            return _from_image(source, name, *source.size, side)
    if isinstance(source, (str, os.PathLike)):
        name = name or str(Path(source))
        content = _file_content(Path(source), name)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name, content = name or "picture", bytes(source)
    elif not isinstance(source, np.ndarray) and hasattr(source, "read"):
        name, content = name or "picture", source.read(MAX_BYTES + 1)
        if not isinstance(content, bytes):
            raise ImageError(f"{name}: the stream gives {type(content).__name__}; open it in binary mode")
    else:
        return _from_array(_as_array(source, name or "array"), name or "array", side)
    if len(content) > MAX_BYTES:
        raise _file_too_large(name)
    if (small := _small_png(content)) is not None:
        height, width = small.shape
        return Picture(name, small.astype(np.float32) / np.float32(255), width, height)
    with decoding(name), opened(content, name, FORMATS, is_cancelled) as image:
        _check_size(image.size, name)
        # A JPEG can be decoded at half, a quarter or an eighth of its size in a fraction of the time.
        width, height = image.size
        image.draft("L", (side, side))
        return _from_image(image, name, width, height, side)


def _small_png(content: bytes) -> npt.NDArray[np.uint8] | None:
    """The pixels (H, W) of a small grey PNG of the simplest form (header, pixels, end) that is whole; else None.

    Archives hold millions of such pictures. For them, Pillow takes ten times as long, for the same pixels.
    """
    if not (len(content) <= SMALL_PNG_BYTES and content.startswith(PNG) and content.endswith(PNG_END)):
        return None
    end = len(content) - len(PNG_END)  # of the chunk before
    try:
        start = PNG_START.unpack_from(content, len(PNG))
    except struct.error:
        return None
    length, kind, width, height, *form, header_sum, data_length, data_kind = start
    if (length, kind, form, data_kind, data_length) != (13, b"IHDR", [8, 0, 0, 0, 0], b"IDAT", end - 45):
        return None
    if not (MIN_SIDE <= max(width, height) <= SMALL_PNG_SIDE and min(width, height) > 0):
        return None
    data = content[41 : end - 4]
    if zlib.crc32(content[12:29]) != header_sum or zlib.crc32(b"IDAT" + data).to_bytes(4) != content[end - 4 : end]:
        return None
    decoder = zlib.decompressobj()
    try:
        rows = decoder.decompress(data, height * (width + 1) + 1)  # the number of its filter begins each row
    except zlib.error:
        return None
    is_whole = decoder.eof and len(rows) == height * (width + 1) and max(rows[:: width + 1]) <= LAST_PNG_FILTER
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if is_whole else None  # type: ignore


def _file_content(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _file_too_large(name)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{name}: cannot be opened ({reason})") from error


def _file_too_large(name: str) -> ImageTooLargeError:
    return ImageTooLargeError(f"{name}: larger than {MAX_BYTES // 2**20} MiB; reduce it first")


def size(content: bytes, name: str, pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height that a picture's file states in its header. No pixel is decoded.

    Raises:
        ImageError: not a picture of an accepted format, or with fewer than 8 pixels on its longer side.
        ImageTooLargeError: more than `pixels`.
    """
    with decoding(name), opened(content, name, FORMATS) as image:
        _check_size(image.size, name, pixels)
        return image.size


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turns whatever a decoder raises into an ImageError that names the picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not change the pixels
            yield
    except DigitNetError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, which only it can compare with the size
        found = re.search(r"\d+ pixels", str(error))
        raise _too_large(name, found[0] if found else "its size") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a picture of a known format; use one of {', '.join(FORMATS)}") from error
    # On damaged data Pillow's decoders raise OSError, SyntaxError, struct.error and many others.
    except Exception as error:
        raise ImageError(f"{name}: damaged or truncated ({type(error).__name__}: {error}); save it again") from error


def _check_size(size: tuple[int, int], name: str, pixels: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > pixels:
        raise _too_large(name, f"{width}x{height}", pixels)
    if max(width, height) < MIN_SIDE:
        raise ImageError(f"{name}: {width}x{height} pixels is too small to read; use at least {MIN_SIDE} on one side")


def _from_image(image: Image.Image, name: str, width: int, height: int, side: int) -> Picture:
    """The picture in a PIL image.

    A JPEG may be decoded smaller than it is, so `width` and `height` say how large it was given.
    """
    image.load()  # this turns a TIFF upright, but no other format
    orientation = image.getexif().get(ORIENTATION, 1)
    image = _roughly_reduced(image, side)
    if orientation != 1:  # a large picture costs much to copy
        image = ImageOps.exif_transpose(image)
    if orientation in (5, 6, 7, 8):  # the sides are swapped
        width, height = height, width
    grey = _grey(image)
    longest = long_side(grey.size)
    if longest > side:
        wide, tall = (max(MIN_SIDE, round(length * side / longest)) for length in grey.size)
        grey = grey.resize((wide, tall), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Picture(name, np.asarray(grey, np.float32) / np.float32(255), width, height)


def _roughly_reduced(image: Image.Image, side: int) -> Image.Image:
    """A large deep or transparent picture, smaller by a whole factor, so that the next steps need little memory.

    Its `long_side` keeps at least twice `side` pixels. Other pictures are returned as they are.
    """
    factor = min(int(long_side(image.size)) // (2 * side), *image.size)
    if factor < 2:
        return image
    width, height = (length // factor for length in image.size)
    if image.mode.startswith("I;16"):
        deep = np.asarray(image)[: height * factor, : width * factor]
        means = deep.reshape(height, factor, width, factor).mean((1, 3), dtype=np.float32)
        reduced = Image.fromarray(means.round().astype(np.uint16))
    elif image.mode in ("LA", "RGBA"):
        reduced = image.reduce(factor, (0, 0, width * factor, height * factor))
    else:
        return image
    reduced.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return reduced


def _too_large(name: str, found: str, pixels: int = MAX_PIXELS) -> ImageTooLargeError:
    return ImageTooLargeError(f"{name}: {found} is more than {pixels / 10**6:g} million pixels; reduce it first")


def is_deep(image: Image.Image) -> bool:
    """Whether the image has more than eight bits a pixel and channel."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _grey(image: Image.Image) -> Image.Image:
    """The image in mode L, or in mode F in [0, 255] where it is deep."""
    if is_deep(image):
        return Image.fromarray(_to_255(np.asarray(image)))
    if image.has_transparency_data:
        return _grey_from_alpha(image.convert("RGBA"))
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return image if image.mode == "L" else image.convert("L")


def _grey_from_alpha(image: Image.Image) -> Image.Image:
    alpha = image.getchannel("A")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    grey = white.convert("L")
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return grey
    visible = np.asarray(image.convert("RGB"))[np.asarray(alpha) > 0]  # (pixels, 3)
    if len(visible) and int(np.ptp(visible, axis=0).max()) <= 3:
        return ImageOps.invert(alpha)  # one colour throughout: the drawing is in the alpha channel
    return grey


def _as_array(source: Any, name: str) -> npt.NDArray[Any]:
    """The numbers in an array or tensor, without an import of the library that made it."""
    if isinstance(source, np.ndarray):
        return source
    try:
        if hasattr(source, "detach"):  # PyTorch refuses tensors that need gradients or lie on a GPU
            source = source.detach().cpu()
        if hasattr(source, "__array__"):
            return np.asarray(source)
        if hasattr(source, "__dlpack__"):
            return np.from_dlpack(source)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        kind = type(source).__name__
        raise ImageError(f"{name}: numpy cannot read this {kind} ({error}); copy it to the CPU first") from error
    kinds = "a path, bytes, a stream, a PIL image, an array or a tensor"
    raise ImageError(f"{name}: a {type(source).__name__} is not a picture; give {kinds}")


def _from_array(array: npt.NDArray[Any], name: str, side: int) -> Picture:
    """The picture in an array of one of the shapes and ranges that `load` takes."""
    shape = array.shape
    if array.ndim == 3 and 1 in (shape[0], shape[2]):
        array = array[0] if shape[0] == 1 else array[..., 0]
    elif array.ndim == 3 and shape[0] in (3, 4) and shape[2] not in (3, 4):
        array = np.moveaxis(array, 0, -1)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in shape:
        raise ImageError(
            f"{name}: an array of shape {shape} is not a picture; use (H, W), (1, H, W), (H, W, 3) or (3, H, W)"
        )
    height, width = array.shape[:2]
    _check_size((width, height), name)
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name}: an array of {array.dtype} is not a picture; use numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError(f"{name}: the array holds values that are not finite; replace them first")
    if array.dtype.kind in "if":
        _check_range(array, name)
    pixels = _to_255(array)
    if array.ndim == 2 and long_side((width, height)) <= side:
        return Picture(name, pixels / np.float32(255), width, height)
    if array.dtype == np.uint8 or array.ndim == 3:
        pixels = np.ascontiguousarray(pixels.round().astype(np.uint8))
    return _from_image(Image.fromarray(pixels), name, width, height, side)


def _check_range(array: npt.NDArray[Any], name: str) -> None:
    """Raises ImageError where the values do not say what black and white are."""
    low, peak = float(array.min()), float(array.max())
    is_float = array.dtype.kind == "f"
    if low < (-OVERSHOOT if is_float else 0) or (is_float and 1 + OVERSHOOT < peak < LEAST_PEAK):
        raise ImageError(
            f"{name}: values from {low:.4g} to {peak:.4g}; use [0, 1] or 0 to 255, and undo any standardisation first"
        )


def _to_255(array: npt.NDArray[Any]) -> Grey:
    """Pixels of any depth as float32 in [0, 255]."""
    peak = float(array.max())
    if array.dtype == np.uint8 and peak != 1:
        return array.astype(np.float32)
    if peak == 1 or (array.dtype.kind == "f" and peak <= 1 + OVERSHOOT):  # also a mask of 0 and 1
        full_scale = 1.0
    else:  # pictures of 10, 12 or 14 bits come in 16, so the smallest scale that holds the peak is the full one
        full_scale = next((float(scale) for scale in FULL_SCALES if peak <= scale), peak)
    scaled = array.astype(np.float64) * (255.0 / full_scale)
    return np.clip(scaled, 0, 255).astype(np.float32)
