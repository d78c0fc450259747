"""Thresholds by promise: of the answers that are given, at least so many are right.

A threshold is kept only if the lower end of the interval of its precision, not the precision itself, is what was
promised: 20 right answers of 20 promise 84 %. Classes are held to the promise one by one; those with too few images to
promise anything by themselves are held to it together.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import wilson


@dataclass(frozen=True)
class Promises:
    """The least probability with which each class may be answered.

    Attributes:
        target: the precision promised, in (0, 1).
        thresholds: in index order; None = there is none at which the promise holds, so it is never answered.
        together: indices of the classes with too few images of their own, which share one threshold.
        answered: fraction of the images that are answered.
    """

    target: float
    thresholds: tuple[float | None, ...]
    together: tuple[int, ...]
    answered: float

    def keeps(self, predicted: int, probability: float) -> bool:
        """Whether an answer may be given."""
        least = self.thresholds[predicted]
        return least is not None and probability >= least

    def never_answered(self) -> tuple[int, ...]:
        """Indices of the classes without a threshold."""
        return tuple(index for index, least in enumerate(self.thresholds) if least is None)

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "target_precision": self.target,
            "answered": self.answered,
            "thresholds": dict(zip(labels, self.thresholds, strict=True)),
            "together": [labels[index] for index in self.together],
            "never_answered": [labels[index] for index in self.never_answered()],
        }


def promise(
    probability: NDArray[Any],
    predicted: NDArray[np.int64],
    targets: NDArray[np.int64],
    classes: int,
    target: float,
) -> Promises:
    """Find the thresholds.

    Args:
        probability: N, of the class predicted, on images that had no part in learning.
        predicted: N class indices in 0..classes-1.
        targets: the true ones.
        target: the precision to promise, in (0, 1).

    Raises:
        ValueError: shapes that do not fit, or another target.
    """
    if not probability.shape == predicted.shape == targets.shape or probability.ndim != 1:
        raise ValueError(
            f"{probability.shape} probabilities, {predicted.shape} answers and {targets.shape} true classes: "
            "expected N of each"
        )
    if not 0 < target < 1:
        raise ValueError(f"target_precision = {target}: expected a value between 0 and 1")
    right = predicted == targets
    few = np.bincount(predicted, minlength=classes) < _enough(target)
    rest = few[predicted]
    shared = _least(probability[rest], right[rest], target)
    thresholds = tuple(
        shared if few[index] else _least(probability[predicted == index], right[predicted == index], target)
        for index in range(classes)
    )
    least = np.array([np.inf if each is None else each for each in thresholds])
    answered = float((probability >= least[predicted]).mean()) if len(targets) else 0.0
    return Promises(target, thresholds, tuple(int(index) for index in np.flatnonzero(few)), answered)


def _enough(target: float) -> int:
    """How many right answers, and no wrong one, promise the target."""
    return next(count for count in itertools.count(1) if wilson(count, count)[0] >= target)


def _least(probability: NDArray[Any], right: NDArray[np.bool_], target: float) -> float | None:
    """The threshold that lets most answers through of those at which the promise holds; None where there is none."""
    order = np.argsort(-probability, kind="stable")
    sure, hits = probability[order], np.cumsum(right[order])
    # Equal probabilities pass a threshold together.
    ends = np.flatnonzero(np.append(sure[1:] < sure[:-1], True)) if sure.size else ()
    kept = (end for end in reversed(ends) if wilson(int(hits[end]), int(end) + 1)[0] >= target)
    end = next(kept, None)
    return None if end is None else float(sure[end])
