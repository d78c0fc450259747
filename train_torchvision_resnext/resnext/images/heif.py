"""HEIC and AVIF files, as phones write them, which OpenCV does not read: decoded by Pillow and pillow-heif."""

import io
from importlib import import_module

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from .rgb import ImageError, MissingPackageError

SUFFIXES = (".avif", ".heic", ".heif")

_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_heif(content: bytes) -> bool:
    """Whether this is the beginning of a HEIC or AVIF file."""
    return content[4:8] == b"ftyp" and content[8:12] in (*_AVIF, *_HEIC)


def decode_heif(content: bytes) -> NDArray[np.uint8]:
    """Decode a HEIC or AVIF file: RGB, uint8, H x W x 3, upright; alpha is dropped, more than 8 bits are scaled.

    Raises:
        ImageError: the file is damaged.
        MissingPackageError: the package that reads it is not installed.
    """
    # mif1 is either; its list of compatible brands says which.
    size = int.from_bytes(content[:4], "big")
    picture = _open_avif(content) if any(brand in content[8:size] for brand in _AVIF) else _open_heic(content)
    try:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except Exception as error:
        raise ImageError(f"the file cannot be decoded: {error}") from error


def _open_avif(content: bytes) -> Image.Image:
    if not features.check("avif"):
        raise MissingPackageError("it is an AVIF file, which needs a newer Pillow: run pip install 'pillow>=11.3'")
    try:
        return Image.open(io.BytesIO(content), formats=("AVIF",))
    except Exception as error:
        raise ImageError(f"the file cannot be decoded: {error}") from error


def _open_heic(content: bytes) -> Image.Image:
    try:
        pillow_heif = import_module("pillow_heif")
    except ImportError as error:
        raise MissingPackageError(
            "it is a HEIC file, which needs the package pillow-heif: run pip install pillow-heif"
        ) from error
    try:
        # Without registering it with Pillow, which other programs in this process share.
        picture: Image.Image = pillow_heif.HeifImageFile(io.BytesIO(content))
    except Exception as error:
        raise ImageError(f"the file cannot be decoded: {error}") from error
    return picture
