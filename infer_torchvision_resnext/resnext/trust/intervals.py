"""How far a figure measured on so many images can be from the true one."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000

Interval = tuple[float, float]
"""The lower and the upper end."""


def wilson(successes: float, count: float, confidence: float = CONFIDENCE) -> Interval:
    """Two-sided interval of a proportion; Wilson, "Probable inference", JASA 1927. Nothing seen: (0, 1).

    Counts need not be whole: those of an effective number of images are not.

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
    """95 % percentile interval of a figure over resampled images; Efron, "Bootstrap methods", 1979.

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
