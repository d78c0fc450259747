"""Sets of classes that hold the true one at least as often as was asked for, with 95 % confidence.

Split conformal prediction, Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers With Bounded Error
Levels", JASA 2019. Its usual threshold keeps the coverage on average over many validation sets, and falls short of it
with about half of them; this one is lower by as much as keeps it with 95 % of them: Vovk, "Conditional Validity of
Inductive Conformal Predictors", 2012. All classes share a threshold. A class with enough images gets a lower one of its
own, if its own images are covered only by that. It speaks of images of the classes that were learned; it finds no
unknown ones. Sets for a higher coverage hold those for a lower one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .binomial import upper_tail
from .fixed_sequence import count_flawless
from .intervals import CONFIDENCE

SUFFICIENT_RANK = 10
"""From which a class has a threshold of its own: the share that it leaves out is then known to a third of itself."""


@dataclass(frozen=True)
class PredictionSets:
    """The least probability with which each class belongs to an image's set.

    Attributes:
        coverage: how often the set holds the true class, in (0, 1).
        thresholds: in index order, in [0, 1]; 0 = the class is in every set.
        together: indices of the classes that share one threshold.
        images: number of images that all this rests on.
    """

    coverage: float
    thresholds: tuple[float, ...]
    together: tuple[int, ...]
    images: int = 0

    def of(self, probabilities: NDArray[np.float64]) -> tuple[int, ...]:
        """Class indices of the set, the most probable first; the best class is always one of them.

        Args:
            probabilities: C, of one image.
        """
        order = np.argsort(-probabilities, kind="stable")
        best = int(order[0])
        return tuple(int(index) for index in order if index == best or probabilities[index] >= self.thresholds[index])

    @property
    def images_needed(self) -> int:
        """Number of validation images from which the coverage has 95 % confidence."""
        return count_flawless(self.coverage)

    def advice(self) -> str:
        """What the coverage would need, in a sentence; empty where there are enough images."""
        if self.images >= self.images_needed:
            return ""
        return (
            f"coverage = {self.coverage:g} needs {self.images_needed} validation images for 95 % confidence; "
            f"the model has {self.images}"
        )

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "coverage": self.coverage,
            "confidence": CONFIDENCE if self.images >= self.images_needed else None,
            "images_needed": self.images_needed,
            "thresholds": dict(zip(labels, self.thresholds, strict=True)),
            "together": [labels[index] for index in self.together],
        }


def fit_prediction_sets(
    true_probability: NDArray[Any], targets: NDArray[np.int64], classes: int, coverage: float
) -> PredictionSets:
    """Find the thresholds.

    Args:
        true_probability: N, of the true class, on images that had no part in learning.
        targets: N class indices in 0..classes-1.
        coverage: in (0, 1).

    Raises:
        ValueError: shapes that do not fit, or another coverage.
    """
    if true_probability.shape != targets.shape or targets.ndim != 1:
        raise ValueError(f"{true_probability.shape} probabilities and {targets.shape} true classes: expected N of each")
    if not 0 < coverage < 1:
        raise ValueError(f"coverage = {coverage}: expected a value between 0 and 1")
    rank = confident_rank(len(targets), coverage)
    shared = float(np.sort(true_probability)[rank - 1]) if rank else 0.0
    own = (_own_threshold(true_probability[targets == index], coverage) for index in range(classes))
    thresholds = tuple(min(shared, least) for least in own)
    together = tuple(index for index, least in enumerate(thresholds) if least == shared)
    return PredictionSets(coverage, thresholds, together, len(targets))


def confident_rank(count: int, coverage: float) -> int:
    """Which of so many probabilities, counted from the least, is the threshold; 0 = they are too few for any.

    Too few for 95 % confidence, but enough on average, have the least of all.
    """
    usual = _average_rank(count, coverage)
    ranks = np.arange(1, usual + 1)
    return max(int((upper_tail(ranks, count, 1 - coverage) >= CONFIDENCE).sum()), min(usual, 1))


def _average_rank(count: int, coverage: float) -> int:
    """The same on average over validation sets."""
    # A coverage such as 0.9 of 10 is a hair off 9 in floating point.
    return count + 1 - math.ceil((count + 1) * coverage - 1e-9)


def _own_threshold(true_probability: NDArray[Any], coverage: float) -> float:
    """Of a class by its images alone; infinite where they are too few.

    From the coverage on that leaves too low a rank, the threshold stays as it is, so that no set shrinks.
    """
    rank = max(_average_rank(len(true_probability), coverage), SUFFICIENT_RANK)
    return float(np.sort(true_probability)[rank - 1]) if rank <= len(true_probability) else math.inf
