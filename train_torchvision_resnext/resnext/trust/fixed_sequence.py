"""The threshold from which answers have a precision, with a confidence that holds although it was chosen.

Whichever threshold is chosen, it is chosen on the images that vouch for it, so that a bound for one threshold alone
would be broken too often: of networks whose precision is just below the target at every threshold, a quarter would pass
with 1000 images. Thresholds are therefore hypotheses that are tested in a fixed order, the strictest first, with exact
binomial p-values, and the error of all of them together stays within 5 %: Angelopoulos et al., "Learn then Test", arXiv
2110.01052, with the fallback procedure of Wiens, "A fixed sequence Bonferroni procedure", Pharmaceutical Statistics
2003. The 5 % are divided among a few starts. A threshold that passes hands on what it was tested with to the next
looser one; one that fails loses it. Where not even flawless answers would pass, nothing is tested, and shares add up.

Given the probabilities, right and wrong answers are independent, and their binomial tail is an upper bound: Hoeffding,
"On the distribution of the number of successes in independent trials", 1956.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .binomial import chernoff, upper_tail
from .intervals import CONFIDENCE

STARTS = {1 / 8: 1 / 8, 1 / 4: 1 / 4, 1 / 2: 1 / 2, 3 / 4: 1 / 8}
"""Share of the images at which a sequence starts: share of the error that it starts with."""

MOST_THRESHOLDS = 2000
"""Thresholds that are tested; of more images, every second one or fewer can be a threshold."""

NEAR = 0.8
"""Standard deviations from the expected number of right answers within which no threshold can pass."""


def certify_thresholds(
    probability: NDArray[Any], right: NDArray[np.bool_], targets: Sequence[float]
) -> NDArray[np.float64]:
    """Least probability from which answers have a precision, for each of T precisions; infinite where none has it.

    Args:
        probability: N, of the class answered.
        right: N, whether the answer is right.
        targets: T, in (0, 1).
    """
    order = np.argsort(-probability, kind="stable")
    ordered = probability[order]
    # Equal probabilities pass a threshold together.
    places = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True)) if len(order) else np.zeros(0, int)
    places = places[:: -math.ceil(max(1, len(places)) / MOST_THRESHOLDS)][::-1]
    numbers, wanted = places + 1, np.array(targets)[:, None]
    gains = _gains(numbers, len(order))
    tails = _tails(np.cumsum(right[order])[places], numbers, wanted)
    passed = (_last_passed(*rows, gains) for rows in zip(tails, wanted**numbers, strict=True))
    return np.array([np.inf if place is None else float(ordered[places[place]]) for place in passed])


def _tails(hits: NDArray[np.int64], numbers: NDArray[np.int64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values, T x N; bounds where these already decide, and 1 near the expected number, where nothing passes."""
    tails = chernoff(hits, numbers, targets)
    expected = numbers * targets
    tails[hits < expected + NEAR * np.sqrt(expected * (1 - targets))] = 1
    unsure = (tails < 1) & (tails > min(STARTS.values()) * (1 - CONFIDENCE))
    tails[unsure] = upper_tail(*(each[unsure] for each in np.broadcast_arrays(hits, numbers, targets)))
    return tails


def _gains(numbers: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Error that each threshold adds, by the number of images that pass it, of `count`."""
    gains = np.zeros(len(numbers))
    for start, share in STARTS.items():
        first = int(np.searchsorted(numbers, start * count))
        if first < len(gains):
            gains[first] += share * (1 - CONFIDENCE)
    return gains


def _last_passed(tails: NDArray[np.float64], flawless: NDArray[np.float64], gains: NDArray[np.float64]) -> int | None:
    """Place of the loosest threshold that passes."""
    level, passed = 0.0, None
    if tails.min(initial=1) > 1 - CONFIDENCE:
        return passed
    for place, (tail, least, gain) in enumerate(zip(tails.tolist(), flawless.tolist(), gains.tolist(), strict=True)):
        level += gain
        if least > level:
            continue
        if tail <= level:
            passed = place
        else:
            level = 0.0
    return passed


def count_flawless(target: float) -> int:
    """Number of right answers, with no wrong one, from which a precision is certified at all."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(target) - 1e-9)
