"""What the runtimes' forward passes share: batches cut into few sizes, rows taken apart, logits → probabilities."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

OUTPUTS = ("logits", "features", "activations")
"""Of a graph that another runtime runs."""

CHUNK = 8
"""Images per inference on a CPU. More are no faster there."""


@dataclass(frozen=True)
class Outputs:
    """What a network says of N images.

    Attributes:
        logits: float32, N x C.
        features: float32, N x F; the pooled ones that the logits were computed from.
        activations: float32, N x F x h x h, whose means the features are; None where they were not asked for.
        pixels: float32, N x 13, statistics of the crops; None where they were not measured.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    activations: NDArray[np.float32] | None = None
    pixels: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, rows: NDArray[np.float32], classes: int, features: int | None = None) -> Self:
        """Take apart the rows that `answering` lets a network give for squares.

        Args:
            features: F, where the rows hold activations; None = nothing stands behind the features.
        """
        if features is None:
            return cls(rows[:, :classes], rows[:, classes:])
        logits, pooled, rest = np.split(rows, [classes, classes + features], axis=1)
        side = math.isqrt(rest.shape[1] // features)
        return cls(logits, pooled, rest.reshape(len(rows), features, side, side))


def chunks(count: int, largest: int = CHUNK) -> list[slice]:
    """Cut a batch into parts of `largest`, a power of 2, then of half as many, down to 1.

    For runtimes that set up every new number of images again.
    """
    parts, start, size = [], 0, largest
    while start < count:
        while size > count - start:
            size //= 2
        parts.append(slice(start, start + size))
        start += size
    return parts


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """N x C logits → N x C probabilities, computed in double precision. Raises: ValueError for NaN or infinity."""
    if not np.isfinite(logits).all():
        raise ValueError(
            "the network's output is not finite: the weights are broken, or the precision is too low for them; "
            "set precision to fp32"
        )
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
