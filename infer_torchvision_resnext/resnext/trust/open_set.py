"""How much an image is like what a network has learned: scores, larger for what it knows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.probabilities import softmax

GAMMA, LARGEST = 0.1, 100
"""The exponent of GEN, and how many classes it looks at: the paper's."""

Floats = NDArray[Any]


class BoundaryDistance:
    """fDBD: how far features lie from the borders to the other classes, by how far they lie from the mean.

    Liu and Qin, "Fast Decision Boundary based Out-of-Distribution Detector", ICML 2024.

    Args:
        weight: C x F, of the classifier, C at least 2.
        mean: F, of the features of training images.

    Raises:
        ValueError: shapes that do not fit, one class only, values that are not finite.
    """

    def __init__(self, weight: Floats, mean: Floats) -> None:
        if weight.ndim != 2 or len(weight) < 2 or mean.shape != weight.shape[1:]:
            raise ValueError(
                f"weights of shape {weight.shape} and a mean of shape {mean.shape}: expected C x F and F, C at least 2"
            )
        if not (np.isfinite(weight).all() and np.isfinite(mean).all()):
            raise ValueError("weights or mean hold NaN or infinity")
        self._weight = weight.astype(np.float64)
        self._mean = mean.astype(np.float64)
        self._gaps: dict[int, NDArray[np.float64]] = {}

    def scores(self, logits: Floats, features: Floats) -> NDArray[np.float64]:
        """N x C logits and the N x F features they were computed from → N scores."""
        margins = logits.max(axis=1, keepdims=True).astype(np.float64) - logits
        gaps = np.stack([self._gaps_of(int(best)) for best in logits.argmax(axis=1)])
        distance = np.linalg.norm(features.astype(np.float64) - self._mean, axis=1)
        others = logits.shape[1] - 1
        return np.asarray((margins / gaps).sum(axis=1) / others / distance.clip(min=1e-12))

    def _gaps_of(self, best: int) -> NDArray[np.float64]:
        """How far apart the weights of a class and of each other one are; infinite where there is no border."""
        if best not in self._gaps:
            gaps = np.linalg.norm(self._weight - self._weight[best], axis=1)
            self._gaps[best] = np.where(gaps > 0, gaps, np.inf)
        return self._gaps[best]


def entropy_scores(logits: Floats) -> NDArray[np.float64]:
    """GEN: a generalized entropy of the most probable classes, negative; N x C logits → N scores.

    Liu et al., "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection", CVPR 2023.
    """
    best = np.sort(softmax(logits), axis=1)[:, ::-1][:, :LARGEST]
    return np.asarray(-((best * (1 - best)) ** GAMMA).sum(axis=1))


def threshold(known: NDArray[np.float64], share: float) -> float:
    """The largest score that at least `share` of the known images reach.

    Args:
        known: scores of images that had no part in learning, at least one.
        share: in (0, 1]; 1 = the least score of all.
    """
    if not known.size or not 0 < share <= 1:
        raise ValueError(f"{known.size} scores and a share of {share}: expected at least one, and a share in (0, 1]")
    # A share such as 0.99 of 100 is a hair above 99 in floating point.
    allowed = int((1 - share) * len(known) + 1e-9)
    return float(np.sort(known)[allowed])
