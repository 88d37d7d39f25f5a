"""Grey images to PNG files in memory."""

import base64

import cv2
import numpy as np
import numpy.typing as npt


def png(image: npt.NDArray[np.float32]) -> bytes:
    """An 8-bit grey PNG of `image` (H, W) in [0, 1]."""
    encoded = cv2.imencode(".png", (image * 255).round().astype(np.uint8))[1]
    return encoded.tobytes()


def png_data_url(image: npt.NDArray[np.float32]) -> str:
    """`image` (H, W) in [0, 1] as a `data:` URL (RFC 2397) that holds a PNG."""
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"
