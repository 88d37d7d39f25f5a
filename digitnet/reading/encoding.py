"""Grey images (H, W) in [0, 1] to picture files in memory."""

import base64

import cv2
import numpy as np
import numpy.typing as npt


def png(image: npt.NDArray[np.float32]) -> bytes:
    """An 8-bit grey PNG of `image` (H, W) in [0, 1]."""
    return cv2.imencode(".png", _bytes(image))[1].tobytes()


def jpeg(image: npt.NDArray[np.float32], quality: int = 90) -> bytes:
    """An 8-bit grey JPEG of `image` (H, W) in [0, 1]; `quality` from 0 to 100."""
    return cv2.imencode(".jpg", _bytes(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png_data_url(image: npt.NDArray[np.float32]) -> str:
    """`image` (H, W) in [0, 1] as a `data:` URL (RFC 2397) that holds a PNG."""
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


def _bytes(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return (image * 255).round().astype(np.uint8)
