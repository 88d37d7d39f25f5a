"""Any picture to upright grey pixels, safely.

Bytes from anywhere may be hostile: the formats are a short list, the size is checked on the header before a pixel is
decoded, and whatever the decoder makes of damaged data ends as an `ImageError` that names the picture.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from digitnet.errors import DigitNetError, ImageError, ImageTooLargeError
from digitnet.imaging.container_limits import check_segments

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MIN_SIDE = 8  # pixels; less does not hold a digit
MAX_PIXELS = 64_000_000  # above the 50 megapixels of large phone photos, far below what fills a small machine
MAX_BYTES = 512 * 2**20
ORIENTATION = 0x0112  # the tag of EXIF
WORKING_SIDE = 1024  # pixels; larger pictures of one digit are reduced to this before anything looks at them

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | npt.NDArray[Any]
Grey = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """Upright grey pixels of a picture.

    Attributes:
        name: what to call it in a message.
        grey: (H, W), float32 in [0, 1], 1 is white; the longer side at most what `load` was asked for.
        width, height: of the upright picture as it was given, in pixels.
    """

    name: str
    grey: Grey
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Pixels of the given picture for one pixel of `grey`."""
        height, width = self.grey.shape
        return max(self.width / int(width), self.height / int(height))


def load(source: Source, name: str | None = None, *, side: int = WORKING_SIDE) -> Picture:
    """The picture in a path, bytes, a binary stream, a PIL image or an array, upright and grey.

    What has more than `side` pixels on its longer side is reduced to that.

    An array is (H, W), (1, H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA: boolean, floating with 1 as white, or
    integer with the smallest of 8, 10, 12, 14 or 16 bits that holds its peak. Transparency is laid on white; where
    the alpha channel alone carries the drawing, alpha is the ink. Of an animation, the first frame counts.

    Raises:
        ImageError: it is not a picture of an accepted format, is damaged, or is smaller than 8x8.
        ImageTooLargeError: more than 64 million pixels, or 512 MiB of file.
    """
    if isinstance(source, np.ndarray):
        name = name or "array"
        array = _checked_array(source, name)
        if array.ndim == 2 and max(array.shape) <= side:
            return Picture(name, _to_255(array) / np.float32(255), array.shape[1], array.shape[0])
        source = _image_from_array(array)
    if isinstance(source, Image.Image):
        name = name or "image"
        with decoding(name):
            _check_size(source.size, name)
            return _from_image(source, name, *source.size, side)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        name = name or str(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ImageTooLargeError(f"{name}: larger than {MAX_BYTES // 2**20} MiB; reduce it first")
            content = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a path with a null character
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ImageError(f"{name}: cannot be opened ({reason})") from error
        return _decode(content, name, side)
    name = name or "picture"
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
    elif hasattr(source, "read"):
        content = source.read(MAX_BYTES + 1)
        if not isinstance(content, bytes):
            raise ImageError(f"{name}: the stream gives {type(content).__name__}; open it in binary mode")
    else:
        raise ImageError(f"{name}: a {type(source).__name__} is no picture; give a path, bytes, a stream or an array")
    if len(content) > MAX_BYTES:
        raise ImageTooLargeError(f"{name}: larger than {MAX_BYTES // 2**20} MiB; reduce it first")
    return _decode(content, name, side)


def size(content: bytes, name: str, pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height that a picture's file announces; no pixel is decoded.

    Raises:
        ImageError: it is not a picture of an accepted format, or smaller than 8x8.
        ImageTooLargeError: more than `pixels`.
    """
    check_segments(content, name)
    with decoding(name), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_size(image.size, name, pixels)
        return image.size


def _decode(content: bytes, name: str, side: int) -> Picture:
    check_segments(content, name)
    with decoding(name), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_size(image.size, name)
        # A JPEG can be decoded at half, a quarter or an eighth of its size in a fraction of the time.
        width, height = image.size
        image.draft("L", (side, side))
        return _from_image(image, name, width, height, side)


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever a decoder stumbles on becomes an ImageError that names the picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is not ours to judge
            yield
    except DigitNetError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a picture of a known format; use one of {', '.join(FORMATS)}") from error
    # Pillow's decoders raise whatever damaged data makes them stumble on: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise ImageError(f"{name}: damaged or truncated ({type(error).__name__}: {error}); save it again") from error


def _check_size(size: tuple[int, int], name: str, pixels: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > pixels:
        raise _too_large(name, f"{width}x{height}", pixels)
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{name}: {width}x{height} pixels is too small to read; use at least {MIN_SIDE}x{MIN_SIDE}")


def _from_image(image: Image.Image, name: str, width: int, height: int, side: int) -> Picture:
    """The picture in an image, which may hold fewer than the `width` x `height` pixels that it stands for."""
    image.load()  # which turns a TIFF upright, and no other format
    orientation = image.getexif().get(ORIENTATION, 1)
    reduced = _roughly_reduced(image, side)
    upright = reduced if orientation == 1 else ImageOps.exif_transpose(reduced)  # a large picture costs much to copy
    grey = _reduce(_grey(upright), side)
    if orientation in (5, 6, 7, 8):  # the sides are swapped
        width, height = height, width
    return Picture(name=name, grey=grey, width=width, height=height)


def _roughly_reduced(image: Image.Image, side: int) -> Image.Image:
    """A deep or transparent picture by a whole factor smaller, so that work on it needs little memory.

    It keeps at least twice the `side`, and is as it was where it is not large.
    """
    factor = max(image.size) // (2 * side)
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
    """Whether its grey has more than eight bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _grey(image: Image.Image) -> Image.Image:
    """The picture in mode L, or F in [0, 255] where it is deep."""
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


def _reduce(image: Image.Image, side: int) -> Grey:
    """The pixels in [0, 1], at most `side` in either direction."""
    longest = max(image.size)
    if longest > side:
        size = tuple(max(MIN_SIDE, round(length * side / longest)) for length in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _checked_array(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The array as (H, W), (H, W, 3) or (H, W, 4), known to hold a picture."""
    shape = array.shape
    if array.ndim == 3 and 1 in (shape[0], shape[2]):
        array = array[0] if shape[0] == 1 else array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in shape:
        raise ImageError(f"{name}: an array of shape {shape} is no picture; use (H, W), (H, W, 3) or (H, W, 4)")
    _check_size((array.shape[1], array.shape[0]), name)
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name}: an array of {array.dtype} is no picture; use numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError(f"{name}: the array holds values that are not finite; replace them first")
    return array


def _image_from_array(array: npt.NDArray[Any]) -> Image.Image:
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    pixels = _to_255(array)
    return Image.fromarray(pixels if array.ndim == 2 else pixels.round().astype(np.uint8))


def _to_255(array: npt.NDArray[Any]) -> Grey:
    """Pixels of any depth as float32 in [0, 255].

    Pictures of 10, 12 or 14 bits come in 16, so an integer's full scale is the smallest that holds the peak.
    """
    if array.dtype == np.uint8:
        return array.astype(np.float32)
    if array.dtype == np.bool_:
        return array.astype(np.float32) * np.float32(255)
    peak = float(array.max())
    if array.dtype.kind == "f" and peak <= 1.0:
        full_scale = 1.0
    else:
        full_scale = next((bits for bits in (255.0, 1023.0, 4095.0, 16383.0, 65535.0) if peak <= bits), peak)
    scaled = array.astype(np.float64) * (255.0 / full_scale)
    return np.clip(scaled, 0, 255).astype(np.float32)
