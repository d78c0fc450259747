"""Sets of classes that hold the true one as often as was asked for.

Split conformal prediction: Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers With Bounded Error
Levels", JASA 2019. The share is kept for the images of each class by themselves where there are enough of them, and for
all together where there are not. It speaks of images of the classes that were learned; it finds no unknown ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PredictionSets:
    """The least probability with which each class belongs to an image's set.

    Attributes:
        coverage: how often the set holds the true class, in (0, 1).
        thresholds: in index order, in [0, 1]; 0 = the class is in every set.
        together: indices of the classes with too few images of their own, which share one threshold.
    """

    coverage: float
    thresholds: tuple[float, ...]
    together: tuple[int, ...]

    def of(self, probabilities: NDArray[np.float64]) -> tuple[int, ...]:
        """Class indices of the set, the most probable first; the best class is always one of them.

        Args:
            probabilities: C, of one image.
        """
        order = np.argsort(-probabilities, kind="stable")
        best = int(order[0])
        return tuple(int(index) for index in order if index == best or probabilities[index] >= self.thresholds[index])

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "coverage": self.coverage,
            "thresholds": dict(zip(labels, self.thresholds, strict=True)),
            "together": [labels[index] for index in self.together],
        }


def prediction_sets(
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
    of_class = [true_probability[targets == index] for index in range(classes)]
    few = tuple(index for index, found in enumerate(of_class) if _rank(len(found), coverage) == 0)
    shared = _threshold(true_probability, coverage)
    thresholds = tuple(shared if index in few else _threshold(found, coverage) for index, found in enumerate(of_class))
    return PredictionSets(coverage, thresholds, few)


def _rank(count: int, coverage: float) -> int:
    """Which of so many probabilities, counted from the least, is the threshold; 0 = they are too few for any."""
    # A coverage such as 0.9 of 10 is a hair off 9 in floating point.
    return count + 1 - math.ceil((count + 1) * coverage - 1e-9)


def _threshold(true_probability: NDArray[Any], coverage: float) -> float:
    rank = _rank(len(true_probability), coverage)
    return float(np.sort(true_probability)[rank - 1]) if rank else 0.0
