"""Any image the host may hand over → RGB, uint8, H x W x 3.

Training and inference read pixels through this one function, so that a picture means the same to both.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

RGBImage = NDArray[np.uint8]
"""H x W x 3, RGB, 0-255; possibly a read-only view."""


class ImageError(ValueError):
    """The image cannot be classified; the message says why and what to do."""


def to_rgb(image: NDArray[Any] | None) -> RGBImage:
    """Convert an image to RGB uint8.

    Accepts H x W, or H x W x C with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA); alpha is dropped, as
    torchvision's and PIL's `convert("RGB")` do. uint8 passes as it is, without a copy; uint16 is scaled from
    [0, 65535], floating point from [0, 1]; bool becomes black and white.

    Raises:
        ImageError: no image, an empty one, another shape or dtype, NaN or infinity, floats outside [0, 1].
    """
    if image is None:
        raise ImageError("there is no input image: the file could not be decoded, or nothing is connected")
    if image.size == 0:
        raise ImageError(f"the input image is empty: its shape is {image.shape}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(
            f"the input image has the shape {image.shape}: expected H x W or H x W x C with 1 to 4 channels last"
        )
    colour = image if image.ndim == 2 else image[..., : 3 if image.shape[2] >= 3 else 1]
    pixels = _to_uint8(colour)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    height, width = pixels.shape[:2]
    return np.broadcast_to(pixels.reshape(height, width, 1), (height, width, 3))


def _to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint16:
        # 65535 / 255 = 257 exactly; adding half of it rounds to nearest.
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if np.issubdtype(pixels.dtype, np.floating):
        return _float_to_uint8(pixels)
    raise ImageError(f"the input image is {pixels.dtype}: expected uint8, uint16, floating point in [0, 1] or bool")


def _float_to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = pixels.size - int(np.isfinite(pixels).sum())
        raise ImageError(f"the input image holds {bad} values that are NaN or infinite: replace them first")
    # What rounds into 0..255 is accepted, so that resampling's tiny overshoot is no error.
    slack = 0.5 / 255
    if low < -slack or high > 1 + slack:
        raise ImageError(
            f"the input image is {pixels.dtype} with values from {low:g} to {high:g}: floating point images must "
            "lie in [0, 1]; scale it, or convert it to uint8"
        )
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * 255), np.uint8)
