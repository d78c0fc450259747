"""An image file → the pixels that the host would hand over for it.

Ikomia decodes with OpenCV, keeping depth and alpha and applying EXIF orientation. Training reads its files here, so
that gray, palette, 16-bit, CMYK and rotated pictures mean the same in training as they will in inference.
"""

import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import heif
from .opencv import opencv
from .rgb import AUTO, ImageError, RGBImage, ValueRange, to_rgb
from .tiff import corrected, is_tiff

_COMMON = (".bmp", ".dib", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_RARE = (".exr", ".hdr", ".jp2", ".pbm", ".pgm", ".pic", ".pnm", ".ppm", ".pxm", ".ras", ".sr")
_REFUSED_BY_HOST = (".gif", ".jfif", ".mpo", *heif.SUFFIXES)
"""The host opens no file of these names; training and the command for many images do."""

SUFFIXES = (*_COMMON, *_RARE, *_REFUSED_BY_HOST)
"""File name endings, in lower case, that are taken for images."""


def read_image(path: Path, value_range: ValueRange = AUTO) -> RGBImage:
    """Read an image file: RGB, uint8, H x W x 3. Raises: ImageError for one that cannot be decoded, OSError."""
    return np.ascontiguousarray(to_rgb(decode(content_of(path)), value_range))


def content_of(path: Path) -> bytes:
    """The bytes of a file, or of what a link leads to. Raises: OSError; ImageError for what may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageError("it is not a file but a folder, a device, a pipe or a socket")
    return path.read_bytes()


def decode(content: bytes, reduction: int = 1) -> NDArray[Any]:
    """Decode the bytes of an image file, as the host does: H x W or H x W x 3, RGB, in the file's own depth.

    Args:
        reduction: 2, 4 or 8 divides the sides while decoding, to RGB in uint8; quicker for JPEG files.

    Raises:
        ImageError: it is no image, or damaged, or needs a package that is missing.
        ImportError: there is no OpenCV.
    """
    if heif.is_heif(content):
        return heif.decode_heif(content)
    pixels = decode_by_opencv(content, reduction)
    return corrected(content, pixels) if is_tiff(content) else pixels


def decode_by_opencv(content: bytes, reduction: int = 1) -> NDArray[Any]:
    """What OpenCV makes of the bytes; see `decode`."""
    # Its absence is of the machine, not of the image: no ImageError, by which an image would be held to be broken.
    cv2 = opencv()
    if not content:
        raise ImageError("the file is empty")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    if reduction > 1:
        flags = getattr(cv2, f"IMREAD_REDUCED_COLOR_{reduction}")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"the file cannot be decoded: {error}") from error
    if pixels is None:
        raise ImageError("the file cannot be decoded: it is not an image, or it is damaged")
    return _rgb(cv2, pixels) if pixels.ndim == 3 and pixels.shape[2] in (3, 4) else np.asarray(pixels)


def _rgb(cv2: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """OpenCV's BGR or BGRA of any depth → RGB. numpy's indexing takes longer, and leaves what resizing copies again."""
    swapped = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    cv2.mixChannels([pixels], [swapped], [0, 2, 1, 1, 2, 0])
    return swapped
