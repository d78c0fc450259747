"""TIFF files that OpenCV reads otherwise than their tags say, and pages after the first, which it passes over."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _EXTRA_SAMPLES = 258, 262, 338
_WHITE_IS_ZERO, _UNASSOCIATED_ALPHA = 0, 2

_UNREADABLE = (OSError, SyntaxError, ValueError, KeyError, TypeError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that it cannot read; OpenCV's pixels stay as they are then."""


def is_tiff(content: bytes) -> bool:
    return content.startswith(_BEGINNINGS)


def corrected(content: bytes, pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels as the file's tags mean them.

    OpenCV multiplies 8-bit colors by their alpha, which everything else here drops, and leaves 16-bit images whose
    white is 0 inverted.

    Args:
        content: of a TIFF file.
        pixels: as OpenCV gives them, H x W or H x W x 3, RGB.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("TIFF",)) as picture:
            tags: Any = getattr(picture, "tag_v2", {})
            if pixels.dtype == np.uint16 and pixels.ndim == 2 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
                return np.iinfo(np.uint16).max - pixels
            if (
                pixels.dtype == np.uint8
                and picture.mode == "RGBA"
                and _UNASSOCIATED_ALPHA in (tags.get(_EXTRA_SAMPLES) or ())
                and set(tags.get(_BITS, ())) == {8}
            ):
                return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except _UNREADABLE:
        pass
    return pixels


def pages_note(content: bytes) -> str:
    """What to say of a TIFF or GIF file with several pages or frames; empty for every other file."""
    if not (is_tiff(content) or content.startswith(b"GIF8")):
        return ""
    try:
        with Image.open(io.BytesIO(content), formats=("TIFF", "GIF")) as picture:
            count = getattr(picture, "n_frames", 1)
    except _UNREADABLE:
        return ""
    return f"only the first of its {count} pages or frames is read" if count > 1 else ""
