"""A path → the square that the network sees, or why there is none. Imports no torch."""

import io
import os
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..resnext.images.files import content_of, decode
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import ImageError
from ..resnext.images.truncation import cut_short
from .embedded import content_of_row
from .lists import Embedded

REDUCTIONS = (8, 4, 2)
"""By which libjpeg-turbo can divide the sides of a JPEG file while it decodes."""

SPARE = 1.5
"""Short side of a reduced image, at least, in `resize_size`: the antialiased filter still has pixels to choose from."""


@dataclass(frozen=True)
class Decoding:
    """How a job's images are read.

    Attributes:
        base, confined, embedded: as of `Images`.
        reduced: whether large JPEG files are decoded at a reduced scale.
    """

    base: str
    confined: bool
    preprocessing: Preprocessing
    reduced: bool = False
    embedded: Embedded | None = None


class Decoded(NamedTuple):
    """An image that is ready for the network, or the reason why it is not.

    Attributes:
        frame: its number in a video, from 0; None for a file.
        crop: RGB, uint8, crop_size x crop_size x 3; None if there is an error.
        ms: milliseconds that reading, decoding and resizing took.
    """

    path: str
    frame: int | None
    crop: NDArray[np.uint8] | None
    error: str
    ms: float


def decoded(path: str, how: Decoding) -> Decoded:
    """Read one image. Whatever is wrong with it is its `error`."""
    start = time.perf_counter()
    try:
        content = _content(path, how)
        crop, error = crop_of(content, how.preprocessing, _reduction(content, how)), ""
    except Exception as problem:
        # Whatever one image does to the libraries that read it must not cost the others their rows.
        crop, error = None, _reason(problem)
    return Decoded(path, None, crop, error, (time.perf_counter() - start) * 1000)


def decoded_all(paths: list[str], how: Decoding) -> list[Decoded]:
    """What a worker does at once."""
    return [decoded(path, how) for path in paths]


def both_ways(path: str, how: Decoding) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float, float] | None:
    """A large JPEG's crop, decoded whole and at a reduced scale, and the milliseconds of each; None for any other."""
    try:
        content = _content(path, how)
        reduction = reduction_of(content, how.preprocessing.resize_size)
        if reduction == 1:
            return None
        start = time.perf_counter()
        whole = crop_of(content, how.preprocessing)
        middle = time.perf_counter()
        reduced = crop_of(content, how.preprocessing, reduction)
    except Exception:
        return None
    return whole, reduced, (middle - start) * 1000, (time.perf_counter() - middle) * 1000


def crop_of(content: bytes, preprocessing: Preprocessing, reduction: int = 1) -> NDArray[np.uint8]:
    """The bytes of an image file → its crop. Raises: ImageError."""
    if cut_short(content):
        raise ImageError("the file is cut short: fetch or save it again")
    return preprocessing.crop_decoded(decode(content, reduction))


def reduction_of(content: bytes, resize_size: int) -> int:
    """By how much the sides of this file may be divided when it is decoded: 8, 4 or 2; 1 for all but large JPEGs."""
    if not content.startswith(b"\xff\xd8"):
        return 1
    try:
        with Image.open(io.BytesIO(content)) as header:
            mode, short_side = header.mode, min(header.size)
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return 1  # whether it can be decoded is OpenCV's to say
    if mode not in ("RGB", "L"):
        return 1
    return next((each for each in REDUCTIONS if short_side >= each * SPARE * resize_size), 1)


def _reduction(content: bytes, how: Decoding) -> int:
    return reduction_of(content, how.preprocessing.resize_size) if how.reduced else 1


def _local_file(url: str) -> Path | None:
    """The file behind an URL of this machine, which may be a pipe or a device that never ends; None for any other."""
    protocol, _, _ = url.partition("://")
    if protocol not in ("file", "local"):
        return None
    return Path(import_module("fsspec").get_filesystem_class(protocol)._strip_protocol(url))


def _content(path: str, how: Decoding) -> bytes:
    """The bytes behind a path. Raises: OSError, ImageError."""
    if how.embedded:
        return content_of_row(path, how.embedded)
    place = path if "://" in path else f"{how.base}/{path}" if "://" in how.base else os.path.join(how.base, path)  # noqa: PTH118 (keeps URLs)
    if "://" in place:
        return _fetched(place)
    file = Path(place)
    if how.confined and not file.resolve().is_relative_to(Path(how.base).resolve()):
        raise ImageError("it is a link that leads out of the folder: it is not followed")
    return content_of(file)


def _reason(problem: Exception) -> str:
    """Why there is no crop; errors that are not made for users are named by their kind, too."""
    text = str(problem)
    if isinstance(problem, (ImageError, OSError)) and text:
        return text
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def _fetched(url: str) -> bytes:
    if (local := _local_file(url)) is not None:
        return content_of(local)
    try:
        with import_module("fsspec").open(url, "rb") as file:
            content: bytes = file.read()
    except Exception as error:
        # Each storage has errors of its own.
        raise OSError(f"{url} cannot be fetched: {type(error).__name__}: {error}") from error
    return content
