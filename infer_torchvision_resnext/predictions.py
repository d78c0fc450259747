"""Validated results: what a network said of one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "unknown"
"""The answer when no class reaches the confidence threshold, or an object is too small to read."""


@dataclass(frozen=True)
class Prediction:
    """The classes of one image, best first.

    Attributes:
        indices: class indices, top-k.
        labels: their labels.
        probabilities: their softmax probabilities, in [0, 1], descending.
        answer: the best label, or `unknown`.
        reason: why the answer is `unknown`; empty otherwise.
    """

    indices: tuple[int, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    answer: str
    reason: str = ""

    def __post_init__(self) -> None:
        if not len(self.indices) == len(self.labels) == len(self.probabilities):
            raise ValueError(
                f"{len(self.indices)} indices, {len(self.labels)} labels and {len(self.probabilities)} probabilities: "
                "expected as many of each"
            )
        if not all(0 <= value <= 1 for value in self.probabilities):
            raise ValueError(f"probabilities {self.probabilities}: expected values in [0, 1]")
        if list(self.probabilities) != sorted(self.probabilities, reverse=True):
            raise ValueError(f"probabilities {self.probabilities}: expected the best first")
        expected = UNKNOWN if self.reason else next(iter(self.labels), None)
        if self.answer != expected:
            raise ValueError(f"answer {self.answer!r}: expected {expected!r}")

    @classmethod
    def unreadable(cls, reason: str) -> "Prediction":
        """The answer for an object that the network was never asked about."""
        return cls((), (), (), UNKNOWN, reason)

    @property
    def probability(self) -> float:
        """Of the best class, whether or not it became the answer; 0 where the network was not asked."""
        return self.probabilities[0] if self.probabilities else 0.0

    @property
    def index(self) -> int | None:
        """Class index of the answer; None for `unknown`."""
        return None if self.reason else self.indices[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "answer": self.answer,
            "probability": self.probability,
            "reason": self.reason,
            "top_k": [
                {"label": label, "index": index, "probability": probability}
                for label, index, probability in zip(self.labels, self.indices, self.probabilities, strict=True)
            ],
        }


def top_k(
    probabilities: NDArray[np.float64], labels: Sequence[str], k: int, confidence_threshold: float
) -> list[Prediction]:
    """The k best classes of each row; equal probabilities keep the order of their indices.

    Args:
        probabilities: N x C, in [0, 1].
        labels: C labels in index order.
        k: 0 = all classes.
    """
    if probabilities.shape[1] != len(labels):
        raise ValueError(f"{probabilities.shape[1]} probabilities an image, but {len(labels)} labels")
    count = min(k or len(labels), len(labels))
    return [_best(row, labels, count, confidence_threshold) for row in probabilities]


def _best(row: NDArray[np.float64], labels: Sequence[str], count: int, confidence_threshold: float) -> Prediction:
    order = np.argsort(-row, kind="stable")[:count]
    best = float(row[order[0]])
    unsure = best < confidence_threshold
    return Prediction(
        indices=tuple(int(index) for index in order),
        labels=tuple(labels[index] for index in order),
        probabilities=tuple(float(row[index]) for index in order),
        answer=UNKNOWN if unsure else labels[order[0]],
        reason=f"below the confidence threshold of {confidence_threshold:g}" if unsure else "",
    )
