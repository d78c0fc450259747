"""Whether an image is like what was learned, by several scores at once.

Each score becomes a p-value: the share of the validation images that have less of it. For the least tenth of them it
falls on as an exponential tail does (Pickands, "Statistical Inference Using Extreme Order Statistics", 1975), so that
images far outside are told apart. The least of an image's p-values is compared with those of the validation images,
which pays for taking the least of several.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from .open_set import threshold

TAIL = 0.1
"""Share of the validation images with the least score that the tail is fitted to."""

FOLDS = 10

Floats = NDArray[Any]


@dataclass(frozen=True)
class ScoreScale:
    """p-values of one score.

    Attributes:
        ordered: scores of the validation images, N, ascending.
        start: score at which the tail starts.
        spread: mean distance of the tail's scores from it; above 0.
    """

    ordered: NDArray[np.float64]
    start: float
    spread: float

    @classmethod
    def of(cls, scores: Floats) -> Self:
        """Fit to the scores of N validation images, N at least 1."""
        ordered = np.sort(scores.astype(np.float64))
        count = int(np.ceil(TAIL * len(ordered)))
        start = float(ordered[min(count, len(ordered) - 1)])
        spread = start - float(ordered[:count].mean())
        least = max(1e-9, 1e-6 * float(np.abs(ordered).max()))
        return cls(ordered, start, max(spread, least))

    def p_values(self, scores: Floats) -> NDArray[np.float64]:
        """Shares of validation images with a lower score, in (0, 1]."""
        values = scores.astype(np.float64)
        ranks = np.searchsorted(self.ordered, values, side="right") / len(self.ordered)
        tail = TAIL * np.exp(np.clip((values - self.start) / self.spread, -600, 0))
        return np.where(values < self.start, tail, np.maximum(ranks, TAIL))


@dataclass(frozen=True)
class Likeness:
    """All scores together.

    Attributes:
        scales: by the name of the score.
        least: p-values of the validation images, N, the least of each image's; each of a scale that was fitted to
            other images, as those of new images are.
    """

    scales: Mapping[str, ScoreScale]
    least: NDArray[np.float64]

    @classmethod
    def of(cls, scores: Mapping[str, Floats]) -> Self:
        """Fit to N scores of each name, of validation images."""
        scales = {name: ScoreScale.of(values) for name, values in scores.items()}
        return cls(scales, np.min([_held_out_p_values(values) for values in scores.values()], axis=0))

    def p_values(self, scores: Mapping[str, Floats]) -> tuple[NDArray[np.float64], list[str]]:
        """N scores of each name → N p-values, the least of each image's, and which score it is of."""
        names = list(self.scales)
        table = np.array([self.scales[name].p_values(np.asarray(scores[name])) for name in names])
        return table.min(axis=0), [names[place] for place in table.argmin(axis=0)]

    def threshold(self, share: float) -> float:
        """p-value that all but this share of the validation images reach; `share` in (0, 1)."""
        return threshold(self.least, 1 - share)


def _held_out_p_values(scores: Floats) -> NDArray[np.float64]:
    """N p-values, of each image by the images of other folds."""
    folds = np.arange(len(scores)) % FOLDS
    if len(scores) < FOLDS:
        return ScoreScale.of(scores).p_values(scores)
    p_values = np.empty(len(scores))
    for fold in range(FOLDS):
        p_values[folds == fold] = ScoreScale.of(scores[folds != fold]).p_values(scores[folds == fold])
    return p_values
