"""How much an image is like what a network has learned: ViM, a score that is larger for what it knows.

Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022. The features of training images lie near
a subspace; how far those of an image lie from it is taken off the energy of its logits. In small networks this finds
unknown images better than logits alone or the distance to decision borders: `python -m benchmarks trust`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

SPREAD = 0.99
"""Share of the features' variance that the subspace holds."""

SENSITIVITY = 0.01
"""Share of the validation images that may be `unknown`, unless told otherwise."""

Floats = NDArray[Any]


@dataclass(frozen=True)
class KnownFeatures:
    """Where the features of training images lie.

    Attributes:
        mean: float32, F.
        axes: float32, K x F, orthonormal: of the subspace in which they spread.
        scale: what a distance from the subspace counts for, in logits; above 0.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    scale: float

    @classmethod
    def of(cls, logits: Floats, features: Floats, spread: float = SPREAD) -> Self:
        """Learn from training images: N x C logits and the N x F features they were computed from, N at least 2."""
        mean = features.mean(axis=0, dtype=np.float64)
        _, deviations, axes = np.linalg.svd(features - mean, full_matrices=False)
        share = np.cumsum(deviations**2) / np.maximum(np.sum(deviations**2), np.finfo(np.float64).tiny)
        count = int(np.searchsorted(share, spread)) + 1
        found = cls(mean.astype(np.float32), axes[:count].astype(np.float32), 1.0)
        # The virtual logit is as large as the largest one, on average.
        left = found._distances(features).mean()
        scale = float(abs(logits.max(axis=1).mean()) / left) if left > 0 else 1.0
        return cls(found.mean, found.axes, scale)

    def scores(self, logits: Floats, features: Floats) -> NDArray[np.float64]:
        """N x C logits and the N x F features they were computed from → N scores."""
        most = logits.max(axis=1).astype(np.float64)
        energy = most + np.log(np.exp(logits - most[:, None]).sum(axis=1))
        return np.asarray(energy - self.scale * self._distances(features))

    def _distances(self, features: Floats) -> NDArray[np.float64]:
        """Of each image from the subspace."""
        offsets = features.astype(np.float64) - self.mean
        return np.asarray(np.linalg.norm(offsets - (offsets @ self.axes.T) @ self.axes, axis=1))


def threshold(known: Floats, share: float) -> float:
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


def expected_rejection(count: int, share: float) -> float:
    """Share of known images below the `threshold` of `count` validation images, on average: in (0, 1).

    Args:
        share: of the validation images that may be below it, in [0, 1).
    """
    return (int(share * count + 1e-9) + 1) / (count + 1)
