"""How far a figure measured on so many images can be from the true one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000

Interval = tuple[float, float]
"""The lower and the upper end."""


def wilson(successes: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Two-sided interval of a proportion; Wilson, "Probable inference", JASA 1927. Nothing seen: (0, 1).

    Raises:
        ValueError: not 0 <= successes <= count, or a confidence outside (0, 1).
    """
    if not 0 <= successes <= count:
        raise ValueError(f"{successes} successes of {count}: expected 0 to {count}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: expected a value between 0 and 1")
    if count == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    fraction = successes / count
    center = fraction + z * z / (2 * count)
    spread = z * math.sqrt(fraction * (1 - fraction) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # Rounding would leave a hair between an end and 0 or 1.
    low = 0.0 if successes == 0 else (center - spread) / scale
    return low, 1.0 if successes == count else (center + spread) / scale


def bootstrap(
    figure: Callable[[NDArray[np.int64]], float], count: int, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """95 % percentile interval of a figure over images drawn anew; Efron, "Bootstrap methods", 1979.

    Args:
        figure: indices of N images, some of them repeated → the figure on these.
        count: N, at least 1.
    """
    random = np.random.default_rng(seed)
    found = [figure(random.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def macro_f1(predicted: NDArray[np.int64], targets: NDArray[np.int64], classes: int) -> float:
    """Mean F1 of the classes that occur, among the true or the predicted ones.

    Args:
        predicted, targets: N class indices in 0..classes-1 each, N at least 1.
    """
    right = np.bincount(targets[predicted == targets], minlength=classes)
    occurs = np.bincount(targets, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float((2 * right[occurs > 0] / occurs[occurs > 0]).mean())


def macro_f1_interval(
    predicted: NDArray[np.int64], targets: NDArray[np.int64], classes: int, seed: int = 0
) -> Interval:
    """95 % bootstrap interval of `macro_f1`."""
    return bootstrap(lambda drawn: macro_f1(predicted[drawn], targets[drawn], classes), len(targets), seed)


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same images.

    Attributes:
        only_first: images that only the first one answers right.
        only_second: images that only the second one answers right.
        difference: accuracy of the second minus that of the first, in [-1, 1].
        interval: of the difference, 95 %, by bootstrap.
        p_value: of no difference; McNemar's test, exact and two-sided.
    """

    only_first: int
    only_second: int
    difference: float
    interval: Interval
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "interval": list(self.interval)}


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_], seed: int = 0) -> PairedTest:
    """Whether two models differ, by which of the same N images each of them answered right.

    McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 1947.

    Raises:
        ValueError: not as many answers of one as of the other, or none.
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"answers of shapes {first.shape} and {second.shape}: expected N of each for the same images")
    gains = second.astype(np.int64) - first.astype(np.int64)
    only_first, only_second = int((gains < 0).sum()), int((gains > 0).sum())
    return PairedTest(
        only_first,
        only_second,
        float(gains.mean()),
        bootstrap(lambda drawn: float(gains[drawn].mean()), len(gains), seed),
        _sign_test(min(only_first, only_second), only_first + only_second),
    )


def _sign_test(fewer: int, count: int) -> float:
    """Two-sided p-value of `fewer` heads or less in `count` throws of a fair coin."""
    # By logarithms, for the numbers themselves are beyond floating point.
    logarithms = (math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(math.exp(each - count * math.log(2)) for each in logarithms))
