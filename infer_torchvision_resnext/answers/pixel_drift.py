"""Whether the pixels of recent images are still like those of the validation images, statistic by statistic.

A mean over a window tells far smaller changes than a single image does: of photos in gray, none by itself is unlike
photos in color. Differs what has intervals that do not meet, of 99 % for all statistics together (Bonferroni).
"""

from collections import deque
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..resnext.trust.input_score import SMALLEST_SPREAD, STATISTICS, Statistics

CONFIDENCE = 0.99


class PixelDrift:
    """A window of frames beside the validation images.

    Args:
        window: number of frames that are compared; nothing is said of fewer.
        moments: mean and standard deviation of the statistics of the validation images, 2 x 13.
        count: number of validation images.
    """

    def __init__(self, window: int, moments: Statistics, count: int) -> None:
        self._frames: deque[NDArray[np.float64]] = deque(maxlen=window)
        self._window = window
        self._mean = moments[0].astype(np.float64)
        self._spread = np.maximum(moments[1].astype(np.float64), SMALLEST_SPREAD)
        self._reach = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * len(STATISTICS)))
        self._expected = self._reach / np.sqrt(count)

    def see(self, objects: Sequence[Statistics]) -> None:
        """Take in a frame by its objects, 13 statistics each. One without objects says nothing."""
        if objects:
            self._frames.append(np.mean(objects, axis=0, dtype=np.float64))

    def differences(self) -> list[str]:
        """What recent images are, compared with the validation images; the greatest difference first."""
        if len(self._frames) < self._window:
            return []
        offsets = (np.array(self._frames) - self._mean) / self._spread
        means = offsets.mean(axis=0)
        beyond = np.abs(means) - self._expected - self._reach / np.sqrt(_count_independent(offsets))
        levels = means[:3]
        if (beyond[:3] > 0).all() and len(set(np.sign(levels))) == 1:
            # All colors alike is brightness.
            return ["brighter" if levels[0] > 0 else "darker"]
        return [STATISTICS[place][2 if means[place] > 0 else 1] for place in np.argsort(-beyond) if beyond[place] > 0]


def _count_independent(offsets: NDArray[np.float64]) -> float:
    """Effective number of frames: neighbors count by how much they differ, compared with validation images.

    Args:
        offsets: N x 13, in standard deviations of the validation images.
    """
    # Of independent images the mean square of a difference is 2.
    likeness = min(1.0, max(0.0, 1 - float((np.diff(offsets, axis=0) ** 2).mean()) / 2)) if len(offsets) > 1 else 0.0
    return max(1.0, len(offsets) * (1 - likeness) / (1 + likeness))
