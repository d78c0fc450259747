"""A video → its frames as the network sees them, decoded by OpenCV as Ikomia does. Imports no torch."""

import time
from functools import lru_cache
from pathlib import Path

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
            crop = how.preprocessing.crop(pixels[..., ::-1])
            found.append(Decoded(path, self._position, crop, "", (time.perf_counter() - start) * 1000))
            self._position += 1
        return found


@lru_cache(maxsize=1)
def _reader(video: str) -> Reader:
    # A process reads one video, and is asked for its frames in order.
    return Reader(video)


def frames(video: str, first: int, count: int, how: Decoding) -> list[Decoded]:
    """What a worker does at once. Raises: ImageError."""
    return _reader(video).frames(Path(video).name, first, count, how)
