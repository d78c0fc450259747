"""How much the pixels of a crop are like those of the training images, before any network has seen them.

A network's features can stay the same where its answers no longer hold: of photos at half the brightness, in gray, or
with half the contrast. Thirteen statistics of the crop do not. The score is the distance to the third nearest training
image, each statistic in units of its spread over the training images, negated: larger for what is like them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

STATISTICS = (
    *(("red", "less red", "redder"), ("green", "less green", "greener"), ("blue", "less blue", "bluer")),
    *(
        (f"spread of {color}", f"lower in {color} contrast", f"higher in {color} contrast")
        for color in ("red", "green", "blue")
    ),
    ("saturation", "less colorful", "more colorful"),
    *(
        (f"{scale} {direction} differences", f"smoother at {scale} scale", f"rougher at {scale} scale")
        for scale in ("fine", "medium", "coarse")
        for direction in ("horizontal", "vertical")
    ),
)
"""Name of each statistic, and what a crop with less and with more of it is."""

NEIGHBOR = 3
MOST_REFERENCES = 1000
"""Training images that are kept: 52 KB."""

SMALLEST_SPREAD = 1e-3

Statistics = NDArray[np.float32]
"""N x 13."""


def measure_crop(crop: NDArray[np.uint8]) -> Statistics:
    """13 statistics of a crop, S x S x 3, RGB; spreads and differences as logarithms, so that contrast shifts them.

    Levels and spreads are those of every second pixel of every second row.
    """
    planes = [np.ascontiguousarray(crop[::2, ::2, channel], np.float32).ravel() / 255 for channel in range(3)]
    means = [plane.mean() for plane in planes]
    spreads = [
        np.sqrt(max(float(plane @ plane) / plane.size - float(mean) ** 2, 0))
        for plane, mean in zip(planes, means, strict=True)
    ]
    red, green, blue = planes
    saturation = (np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).mean()
    gray = (crop[..., 0].astype(np.float32) + crop[..., 1] + crop[..., 2]) / 765
    differences = []
    for _ in range(3):
        rows, columns = gray[::2], gray[:, ::2]
        differences += [
            np.abs(rows[:, 1:] - rows[:, :-1]).mean() if rows.shape[1] > 1 else 0,
            np.abs(columns[1:] - columns[:-1]).mean() if columns.shape[0] > 1 else 0,
        ]
        height, width = max(2, gray.shape[0] // 2 * 2), max(2, gray.shape[1] // 2 * 2)
        if min(gray.shape) > 1:
            gray = (
                gray[0:height:2, 0:width:2]
                + gray[1:height:2, 0:width:2]
                + gray[0:height:2, 1:width:2]
                + gray[1:height:2, 1:width:2]
            ) / 4
    logarithms = np.log(np.array([*spreads, *differences]) + 1 / 255)
    return np.array([*means, *logarithms[:3], saturation, *logarithms[3:]], np.float32)


def measure_crops(crops: Iterable[NDArray[np.uint8]]) -> Statistics:
    """N x 13 statistics of N crops; see `measure_crop`."""
    return np.array([measure_crop(crop) for crop in crops], np.float32).reshape(-1, len(STATISTICS))


@dataclass(frozen=True)
class InputReference:
    """Training images that others are compared with.

    Attributes:
        statistics: of M crops, M x 13, M at least 1.
    """

    statistics: Statistics

    @cached_property
    def _mean(self) -> NDArray[np.float32]:
        return np.asarray(self.statistics.mean(axis=0))

    @cached_property
    def _spread(self) -> NDArray[np.float32]:
        return np.asarray(np.maximum(self.statistics.std(axis=0), SMALLEST_SPREAD))

    @cached_property
    def _standardized(self) -> NDArray[np.float32]:
        return np.asarray((self.statistics - self._mean) / self._spread)

    def scores(self, statistics: Statistics) -> NDArray[np.float32]:
        """N x 13 statistics → N scores, at most 0."""
        place = min(NEIGHBOR, len(self.statistics)) - 1
        nearest = [
            np.partition(((self._standardized - row) ** 2).sum(axis=1), place)[place]
            for row in (statistics - self._mean) / self._spread
        ]
        return np.asarray(-np.sqrt(np.array(nearest, np.float32)))

    def describe(self, statistics: Statistics) -> str:
        """How one crop's 13 statistics differ most from those of the training images."""
        offsets = (statistics - self._mean) / self._spread
        levels = offsets[:3]
        if abs(levels).min() > 1 and len(set(np.sign(levels))) == 1:
            # All colors alike is brightness.
            place, more = int(abs(levels).argmax()), bool(levels[0] > 0)
            words = "brighter" if more else "darker"
        else:
            place = int(abs(offsets).argmax())
            more = bool(offsets[place] > 0)
            words = STATISTICS[place][2 if more else 1]
        reference = self.statistics[:, place]
        share = float((reference < statistics[place]).mean() if more else (reference > statistics[place]).mean())
        return f"{words} than {share:.0%} of the training images"
