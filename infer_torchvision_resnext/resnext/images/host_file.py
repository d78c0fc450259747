"""The file behind an image of the host: what the host passes over without a word, and pixels that it reads otherwise.

The host decodes files itself. Training and the command for many images decode with `files.decode`; this gives the
inference task the same pixels.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .files import decode, decode_by_opencv
from .heif import is_heif
from .rgb import ImageError
from .tiff import corrected, is_tiff, pages_note
from .truncation import JPEG, cut_short

_HEADER = 16
"""Bytes that tell the formats apart."""


class HostPixels(NamedTuple):
    """Pixels as training reads them, and what to say of the file; empty if there is nothing to say."""

    pixels: NDArray[Any] | None
    note: str


def pixels_as_in_training(path: str, pixels: NDArray[Any] | None) -> HostPixels:
    """Compare the host's pixels with their file, if there is one.

    Args:
        path: of the file that the host read; empty or another kind of place for images that came from elsewhere.
        pixels: as the host gives them, RGB or RGBA, H x W or H x W x C; None where it could not decode the file.

    Raises:
        ImageError: a JPEG file that ends before its picture does, which the host fills with gray; or a file that the
            host cannot read and for which a package is missing.
    """
    content = _content(path)
    if content.startswith(JPEG) and cut_short(content):
        raise ImageError("the file is cut short: fetch or save it again")
    if pixels is None and is_heif(content):
        return HostPixels(decode(content), "")
    if pixels is None or not is_tiff(content):
        return HostPixels(pixels, "")
    meant, note = _tiff_pixels(content, pixels)
    return HostPixels(meant, "; ".join(filter(None, (note, pages_note(content)))))


def _tiff_pixels(content: bytes, pixels: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Corrected, unless a task before this one has changed them; and what to say of it."""
    own = decode_by_opencv(content)
    meant = corrected(content, own)
    if meant is own:
        return pixels, ""
    colors = pixels[..., :3] if pixels.ndim == 3 else pixels
    if np.array_equal(colors, own):
        return meant, "Ikomia shows this TIFF file otherwise than its tags mean it; the corrected image is classified"
    return pixels, "Ikomia reads this TIFF file otherwise than its tags mean it, and a task before this one changed it"


def _content(path: str) -> bytes:
    """All of a file in which something may be wrong; nothing of any other."""
    file = Path(path)
    if not path or not file.is_file():
        return b""
    with file.open("rb") as stream:
        header = stream.read(_HEADER)
        if not (header.startswith(JPEG) or is_tiff(header) or is_heif(header)):
            return b""
        return header + stream.read()
