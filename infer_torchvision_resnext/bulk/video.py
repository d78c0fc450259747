"""A video → its frames as the network sees them, decoded by OpenCV as Ikomia does. Imports no torch."""

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..resnext.images.opencv import opencv
from ..resnext.images.rgb import ImageError
from .decoding import Decoded, Decoding


class Reader:
    """A video that is read once, from its beginning on. Raises: ImageError, if it cannot be opened."""

    def __init__(self, video: str) -> None:
        self._capture = opencv().VideoCapture(video)
        self._position = 0
        if not self._capture.isOpened():
            raise ImageError(f"{video} cannot be opened: it is not a video, or OpenCV lacks its codec")

    def frames(self, path: str, first: int, count: int, how: Decoding) -> list[Decoded]:
        """Frames from `first` on; fewer than `count` at the video's end."""
        while self._position < first and self._capture.grab():
            self._position += 1
        found: list[Decoded] = []
        while self._position == first + len(found) and len(found) < count:
            start = time.perf_counter()
            there, pixels = self._capture.read()
            if not there:
                break
            found.append(_decoded(path, self._position, pixels, how, start))
            self._position += 1
        return found


def _decoded(path: str, frame: int, pixels: NDArray[Any], how: Decoding, start: float) -> Decoded:
    """A frame as OpenCV gives it, BGR, and when reading it began. What `value_range` does not allow is its error."""
    crop, error = None, ""
    try:
        crop = how.preprocessing.crop_decoded(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    except (ImageError, MemoryError) as problem:
        error = str(problem) or type(problem).__name__
    return Decoded(path, frame, crop, error, (time.perf_counter() - start) * 1000)


@lru_cache(maxsize=1)
def _reader(video: str) -> Reader:
    # A process reads one video, and is asked for its frames in order.
    return Reader(video)


def frames(video: str, first: int, count: int, how: Decoding) -> list[Decoded]:
    """What a worker does at once. Raises: ImageError."""
    return _reader(video).frames(Path(video).name, first, count, how)
