"""Validated results: what a network said of one image."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..resnext.trust.unknown import UNKNOWN
from .activation_map import ActivationMap

Kind = Literal["unlike", "imprecise", "unsure", "too small"]


@dataclass(frozen=True)
class Doubt:
    """Why there is no answer.

    Attributes:
        kind: unlike anything that was learned, below the promised precision or the confidence threshold, or an object
            that is too small to read.
        reason: the same with its figures, for a person.
    """

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Prediction:
    """The classes of one image, best first.

    Attributes:
        indices: class indices, top-k.
        labels: their labels.
        probabilities: their softmax probabilities, in [0, 1]; descending, unless there are costs.
        answer: the best label, or `unknown`.
        doubt: why the answer is `unknown`; None otherwise.
        known_score: how much the image is like what was learned; None where the model cannot tell.
        possible: labels that hold the true one as often as was asked for; None where nothing was asked for.
        embedding: features that it was classified by; None where nobody asked for them.
        activation_map: where the network looked; None where nobody asked.
        distribution: calibrated probabilities of all classes, in index order; None where nobody asked for them.
        held: the answer is that of earlier frames and stands first, though another class is ahead, by too little.
        track: whose answer it is, if it is that of an object over its frames.
        pixels: 13 statistics of the crop, see `input_score`; None where nobody asked for them.
        costs: what each of the classes is expected to cost as the answer, ascending; None where the most probable
            class is the best.
    """

    indices: tuple[int, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    answer: str
    doubt: Doubt | None = None
    known_score: float | None = None
    possible: tuple[str, ...] | None = None
    embedding: tuple[float, ...] | None = None
    activation_map: ActivationMap | None = field(default=None, compare=False)
    distribution: NDArray[np.float64] | None = field(default=None, compare=False)
    held: bool = False
    track: "Track | None" = None
    costs: tuple[float, ...] | None = None
    pixels: NDArray[np.float32] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not len(self.indices) == len(self.labels) == len(self.probabilities):
            raise ValueError(
                f"{len(self.indices)} indices, {len(self.labels)} labels and {len(self.probabilities)} probabilities: "
                "expected as many of each"
            )
        if not all(0 <= value <= 1 for value in self.probabilities):
            raise ValueError(f"probabilities {self.probabilities}: expected values in [0, 1]")
        ordered = self.probabilities[1:] if self.held else self.probabilities
        if self.costs is None and list(ordered) != sorted(ordered, reverse=True):
            raise ValueError(f"probabilities {self.probabilities}: expected the best first")
        costs = self.costs if self.costs is None or not self.held else self.costs[1:]
        if costs is not None and (len(self.costs or ()) != len(self.labels) or [*costs] != sorted(costs)):
            raise ValueError(f"costs {self.costs} of {len(self.labels)} labels: expected the least first, one each")
        expected = UNKNOWN if self.doubt else next(iter(self.labels), None)
        if self.answer != expected:
            raise ValueError(f"answer {self.answer!r}: expected {expected!r}")

    @classmethod
    def unreadable(cls, reason: str) -> "Prediction":
        """The answer for an object that the network was never asked about."""
        return cls((), (), (), UNKNOWN, Doubt("too small", reason))

    def judged(
        self,
        doubt: Doubt | None,
        known_score: float | None = None,
        possible: tuple[str, ...] | None = None,
        embedding: tuple[float, ...] | None = None,
    ) -> "Prediction":
        """The same with what is to be thought of it."""
        answer = UNKNOWN if doubt else self.labels[0]
        return replace(
            self, answer=answer, doubt=doubt, known_score=known_score, possible=possible, embedding=embedding
        )

    def held_at(self, index: int, k: int) -> "Prediction":
        """The k classes (0 = all) that it consists of when the class `index` stands first."""
        place = self.indices.index(index)
        order = [place, *(other for other in range(len(self.indices)) if other != place)][: k or None]
        return replace(
            self,
            indices=tuple(self.indices[each] for each in order),
            labels=tuple(self.labels[each] for each in order),
            probabilities=tuple(self.probabilities[each] for each in order),
            costs=None if self.costs is None else tuple(self.costs[each] for each in order),
            answer=self.labels[place],
            held=place > 0,
        )

    @property
    def probability(self) -> float:
        """Of the first class, whether or not it became the answer; 0 where the network was not asked."""
        return self.probabilities[0] if self.probabilities else 0.0

    @property
    def reason(self) -> str:
        """Why the answer is `unknown`, for a person; empty otherwise."""
        return self.doubt.reason if self.doubt else ""

    @property
    def index(self) -> int | None:
        """Class index of the answer; None for `unknown`."""
        return None if self.doubt else self.indices[0]

    @property
    def confidence(self) -> float:
        """Probability of the answer, in [0, 1]; 0 for `unknown`, whose probability nobody can tell."""
        return 0.0 if self.doubt else self.probability

    def table(self) -> list[tuple[str, str]]:
        """Labels and probabilities for a person, best first; `unknown` stands above them, without a probability."""
        rows = [(label, f"{value:.4g}") for label, value in zip(self.labels, self.probabilities, strict=True)]
        return [(UNKNOWN, ""), *rows] if self.doubt else rows

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "answer": self.answer,
            "probability": self.probability,
            "doubt": self.doubt.kind if self.doubt else None,
            "reason": self.reason,
            "known_score": self.known_score,
            "set": None if self.possible is None else list(self.possible),
            **({} if self.embedding is None else {"embedding": list(self.embedding)}),
            **({} if self.activation_map is None else {"map": self.activation_map.to_dict()}),
            **({} if self.track is None else {"track": {"held": self.held, **self.track.to_dict()}}),
            "top_k": [
                {"label": label, "index": index, "probability": probability, **more}
                for label, index, probability, more in zip(
                    self.labels, self.indices, self.probabilities, self._costs_told(), strict=True
                )
            ],
        }

    def _costs_told(self) -> list[dict[str, float]]:
        return [{} for _ in self.labels] if self.costs is None else [{"expected_cost": cost} for cost in self.costs]


@dataclass(frozen=True)
class Track:
    """An object that was followed.

    Attributes:
        frames: in which it could be read.
        this_frame: what the present one says alone.
    """

    frames: int
    this_frame: Prediction

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        alone = self.this_frame.to_dict()
        return {"frames": self.frames, "this_frame": {key: alone[key] for key in ("answer", "probability", "doubt")}}


def top_k(
    probabilities: NDArray[np.float64], labels: Sequence[str], k: int, costs: NDArray[np.float64] | None = None
) -> list[Prediction]:
    """The k best classes of each row: the most probable, or those of least expected cost.

    Equal costs are told apart by probability, equal probabilities keep the order of their indices.

    Args:
        probabilities: N x C, in [0, 1].
        labels: C labels in index order.
        k: 0 = all classes.
        costs: N x C, what each class is expected to cost as the answer.
    """
    if probabilities.shape[1] != len(labels):
        raise ValueError(f"{probabilities.shape[1]} probabilities an image, but {len(labels)} labels")
    count = min(k or len(labels), len(labels))
    rows: Sequence[NDArray[np.float64] | None] = [None] * len(probabilities) if costs is None else [*costs]
    return [_best(row, labels, count, cost) for row, cost in zip(probabilities, rows, strict=True)]


def _best(row: NDArray[np.float64], labels: Sequence[str], count: int, costs: NDArray[np.float64] | None) -> Prediction:
    # Both sorts are stable.
    order = (np.argsort(-row, kind="stable") if costs is None else np.lexsort((-row, costs)))[:count]
    return Prediction(
        indices=tuple(int(index) for index in order),
        labels=tuple(labels[index] for index in order),
        probabilities=tuple(float(row[index]) for index in order),
        answer=labels[order[0]],
        costs=None if costs is None else tuple(float(costs[index]) for index in order),
    )


def by_class(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """Probabilities of predictions that list all C classes: N x C, in index order."""
    table = np.zeros((len(predictions), len(predictions[0].indices)))
    for row, prediction in zip(table, predictions, strict=True):
        row[list(prediction.indices)] = prediction.probabilities
    return table
