"""Whether images are still like those that a model was validated on.

A sliding window of frames is compared with validation: in how much they are like what was learned, and in how many of
them are `unknown`. What differs is what has 99 % intervals that do not meet. Frames of a film are much alike, and count
as fewer independent ones; Bayley and Hammersley, "The 'Effective' Number of Independent Observations in an
Autocorrelated Time Series", JRSS Supplement 1946, for a process of first order. Pixels are compared, too
(`pixel_drift.py`), where the model has statistics of those of the validation images.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resnext.trust.input_score import Statistics
from ..resnext.trust.intervals import Interval, wilson
from .pixel_drift import PixelDrift

CONFIDENCE = 0.99
"""Of the intervals; higher than elsewhere, for the window is looked at again in each frame."""

MOST_DIFFERENCES = 3
"""Of the pixels that a note names."""


@dataclass(frozen=True)
class Figure:
    """A mean over the window beside that over validation.

    Attributes:
        value: of the window.
        interval: of the mean that such frames have in the long run.
        expected: the same of validation.
    """

    value: float
    interval: Interval
    expected: Interval

    @property
    def leaves(self) -> int:
        """-1 and 1: it lies below and above what was expected; 0: it can be the same."""
        return int(self.interval[0] > self.expected[1]) - int(self.interval[1] < self.expected[0])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"value": self.value, "interval": list(self.interval), "expected": list(self.expected)}


class Drift:
    """A window of frames beside what validation had.

    Args:
        window: how many frames are compared; as long as there are fewer, nothing is said of them.
        known_scores: of the validation images, N, at least one.
        unknown: which of them were answered `unknown`, N.
        pixels: mean and standard deviation of 13 statistics of the validation images, 2 x 13; None where the model has
            none.
    """

    def __init__(
        self,
        window: int,
        known_scores: NDArray[np.float32],
        unknown: NDArray[np.bool_],
        pixels: Statistics | None = None,
    ) -> None:
        self._window = window
        self._pixels = None if pixels is None else PixelDrift(window, pixels, len(known_scores))
        self._frames: deque[tuple[float, float]] = deque(maxlen=window)
        self._mean, self._deviation = float(known_scores.mean()), float(known_scores.std())
        self._expected_score = self._interval(self._mean, len(known_scores))
        self._expected_unknown = wilson(int(unknown.sum()), len(unknown), CONFIDENCE)

    def see(self, objects: Sequence[tuple[float, bool]], pixels: Sequence[Statistics] = ()) -> None:
        """Take in a frame by the means over its objects, their known scores and whether they are `unknown`.

        One without objects says nothing. `pixels` are 13 statistics of each, where they are measured.
        """
        if self._pixels:
            self._pixels.see(pixels)
        if objects:
            score, unknown = np.mean(objects, axis=0)
            self._frames.append((float(score), float(unknown)))

    def notes(self) -> list[str]:
        """What has changed, a sentence each."""
        if len(self._frames) < self._window:
            return []
        score, unknown = self._known_score().leaves, self._unknown().leaves
        found = (
            [f"images are {'more' if score > 0 else 'less'} like what was learned than validation's"] if score else []
        )
        found += [f"{'more' if unknown > 0 else 'fewer'} are unknown than of validation's"] if unknown else []
        if differences := self._differences():
            found.append(f"images are {', '.join(differences[:MOST_DIFFERENCES])} than the validation images")
        return [f"drift: {note}; trust.drift in output 4 tells by how much" for note in found]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        full = len(self._frames) == self._window
        return {
            "window": self._window,
            "images": len(self._frames),
            "independent_images": self._independent(),
            "known_score": self._known_score().to_dict() if full else None,
            "unknown": self._unknown().to_dict() if full else None,
            **({"pixels": self._differences()} if self._pixels else {}),
            "alarm": bool(self.notes()),
        }

    def _differences(self) -> list[str]:
        return self._pixels.differences() if self._pixels else []

    def _known_score(self) -> Figure:
        mean = float(np.mean([score for score, _ in self._frames]))
        return Figure(mean, self._interval(mean, self._independent()), self._expected_score)

    def _unknown(self) -> Figure:
        share, count = float(np.mean([unknown for _, unknown in self._frames])), self._independent()
        return Figure(share, wilson(share * count, count, CONFIDENCE), self._expected_unknown)

    def _interval(self, mean: float, count: float) -> Interval:
        """Of a mean known score, by the spread that validation had."""
        reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * self._deviation / math.sqrt(count)
        return mean - reach, mean + reach

    def _independent(self) -> float:
        """How many independent frames say as much as these.

        What resembles its neighbor is measured from validation's mean, so that a film of one object is little evidence.
        """
        off = np.array([score for score, _ in self._frames]) - self._mean
        likeness = max(0.0, float(off[1:] @ off[:-1] / (off @ off))) if off.any() else 0.0
        return max(1.0, len(off) * (1 - likeness) / (1 + likeness))
