"""A video → its frames as the network sees them, decoded by OpenCV as Ikomia does. Imports no torch."""

import time
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..resnext.images.opencv import opencv
from ..resnext.images.rgb import ImageError
from .decoding import Decoded, Decoding

_ATTEMPTS = 16
"""Frames in a row that cannot be read, after which the video is held to have ended."""

_ESTIMATED = 0.02
"""Containers without an index announce their length by duration; so much, or two frames, may be missing at the end."""

_LARGEST = 10**9
"""Frames. What announces more, or less than one, does not know."""

_GAP = 1.5
"""Frame intervals between two frames, above which one is missing between them."""


class Reader:
    """A video that is read once, from its beginning on. Raises: ImageError, if it cannot be opened."""

    def __init__(self, video: str) -> None:
        cv2 = opencv()
        self._cv2, self._capture = cv2, cv2.VideoCapture(video)
        if not self._capture.isOpened():
            raise ImageError(f"{video} cannot be opened: it is not a video, it is cut short, or OpenCV lacks its codec")
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._announced = int(announced) if 1 <= announced < _LARGEST else 0
        self._position = 0
        self._milliseconds = 0.0
        self._gap = ""
        self._unread: deque[str] = deque()
        self._has_ended = False

    def frames(self, path: str, first: int, count: int, how: Decoding) -> list[Decoded]:
        """Frames from `first` on; fewer than `count` at the video's end.

        A frame that cannot be read has its `error`. If the file announces more frames than it holds, an error with both
        numbers takes the place of the first one that is missing.
        """
        found: list[Decoded] = []
        while len(found) < count:
            start = time.perf_counter()
            error = self._advance()
            if error is None:
                break
            frame, self._position = self._position, self._position + 1
            if frame < first:
                continue
            if error:
                found.append(Decoded(path, frame, None, error, (time.perf_counter() - start) * 1000))
            else:
                found.append(_decoded(path, frame, self._capture.retrieve()[1], how, start))
        return found

    def _advance(self) -> str | None:
        """Go to the next frame: why it cannot be read, empty if it can; None at the end."""
        if self._unread:
            return self._unread.popleft()
        if self._has_ended:
            return None
        if self._capture.grab():
            self._note_gap()
            return ""
        # In a damaged file, others may follow a frame that cannot be read.
        for failures in range(1, min(_ATTEMPTS, self._announced - self._position - 1) + 1):
            if self._capture.grab():
                self._milliseconds = self._capture.get(self._cv2.CAP_PROP_POS_MSEC)
                self._unread.extend(["the frame cannot be decoded: the file is damaged"] * (failures - 1) + [""])
                return "the frame cannot be decoded: the file is damaged"
        self._has_ended = True
        return self._incompleteness() or None

    def _note_gap(self) -> None:
        """Remember the first place where the time stamps say that frames are missing."""
        now = self._capture.get(self._cv2.CAP_PROP_POS_MSEC)
        interval = 1000 / max(1e-3, self._capture.get(self._cv2.CAP_PROP_FPS))
        if self._position and not self._gap and now - self._milliseconds > _GAP * interval:
            self._gap = (
                f"; frames are missing after frame {self._position - 1} ({self._milliseconds / 1000:.2f} s), and the "
                "numbers of later ones are too low"
            )
        self._milliseconds = now

    def _incompleteness(self) -> str:
        """What to say of a file that announces more frames than it holds; empty if it does not."""
        missing = self._announced - self._position
        if missing < 1 or (not self._gap and missing <= max(2, _ESTIMATED * self._announced)):
            return ""
        return (
            f"the video ends after {self._position} frames, and the file announces {self._announced}: it is damaged or "
            f"cut short{self._gap}"
        )


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
