"""Thresholds by promise: of the answers that are given, at least so many are right, with 95 % confidence.

One threshold serves all classes. A class is held to a threshold of its own only where its own answers refute the
target, by an exact one-sided interval that is shared among the classes (Bonferroni): it has to keep the target by
itself then, or is not answered. On request every class has to.

A stricter target never answers more: a class's threshold is the loosest that any target from the wanted one upward
gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from .binomial import lower_tail
from .fixed_sequence import certify_thresholds, count_flawless
from .intervals import CONFIDENCE

TARGETS = (
    *(percent / 100 for percent in range(1, 90)),
    *(permille / 1000 for permille in range(900, 980, 5)),
    *(0.98, 0.985, 0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9999),
)
"""Targets that are worked out; one between two of them is rounded up."""

SURE_HALF = 0.5
"""Share of the surest answers among which a class may already refute the target."""

LITTLE = 0.5
"""Share of answered images below which it is said what more would need."""


@dataclass(frozen=True)
class Promises:
    """The least probability with which each class may be answered.

    Attributes:
        target: the precision promised, in (0, 1).
        thresholds: in index order; None = there is none at which the promise holds, so it is never answered.
        together: indices of the classes that share one threshold.
        answered: fraction of the images that are answered.
        images: number of images that all this rests on.
        per_class: each class keeps the target by itself.
        highest: the highest target that answers any image, 0 = none does; None where enough is answered, so that
            nobody needs to know.
    """

    target: float
    thresholds: tuple[float | None, ...]
    together: tuple[int, ...]
    answered: float
    images: int = 0
    per_class: bool = False
    highest: float | None = None

    def keeps(self, predicted: int, probability: float) -> bool:
        """Whether an answer may be given."""
        least = self.thresholds[predicted]
        return least is not None and probability >= least

    def never_answered(self) -> tuple[int, ...]:
        """Indices of the classes without a threshold."""
        return tuple(index for index, least in enumerate(self.thresholds) if least is None)

    @property
    def flawless_images(self) -> int:
        """Number of right answers, with no wrong one, that the target needs: of each class with `per_class`."""
        return count_flawless(self.target)

    def advice(self) -> str:
        """What a higher share of answers would need, in a sentence; empty where enough is answered."""
        if self.highest is None:
            return ""
        each = " of each class" if self.per_class else ""
        limit = f"at most {self.highest:g} can be promised" if self.highest else "no precision can be promised"
        return (
            f"target_precision = {self.target:g} answers {self.answered:.1%} of the {self.images} validation images. "
            f"With these images {limit}; {self.target:g} needs at least {self.flawless_images} right answers "
            f"without a wrong one{each}"
        )

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "target_precision": self.target,
            "confidence": CONFIDENCE,
            "per_class": self.per_class,
            "answered": self.answered,
            "thresholds": dict(zip(labels, self.thresholds, strict=True)),
            "together": [labels[index] for index in self.together],
            "never_answered": [labels[index] for index in self.never_answered()],
            "highest_precision": self.highest,
            "flawless_images": self.flawless_images,
        }


def fit_precision_thresholds(
    probability: NDArray[Any], predicted: NDArray[np.int64], targets: NDArray[np.int64], classes: int, target: float
) -> Promises:
    """Find the thresholds at which all answers together keep the promise.

    Args:
        probability: N, of the class predicted, on images that had no part in learning.
        predicted: N class indices in 0..classes-1.
        targets: the true ones.
        target: the precision to promise, in (0, 1).

    Raises:
        ValueError: shapes that do not fit, or another target.
    """
    return _fit(_Answers.of(probability, predicted, targets, classes, per_class=False), target)


def fit_class_thresholds(
    probability: NDArray[Any], predicted: NDArray[np.int64], targets: NDArray[np.int64], classes: int, target: float
) -> Promises:
    """Find the thresholds at which the answers of each class keep the promise; see `fit_precision_thresholds`."""
    return _fit(_Answers.of(probability, predicted, targets, classes, per_class=True), target)


def _fit(answers: "_Answers", target: float) -> Promises:
    if not 0 < target < 1:
        raise ValueError(f"target_precision = {target}: expected a value between 0 and 1")
    fitted = answers.fit(_targets_from(target))
    thresholds = fitted.thresholds.min(axis=0)
    answered = answers.share(thresholds)
    return Promises(
        target,
        tuple(float(least) if np.isfinite(least) else None for least in thresholds),
        tuple(int(index) for index in np.flatnonzero(~fitted.separate[0])),
        answered,
        len(answers.right),
        answers.per_class,
        answers.highest() if answered < LITTLE else None,
    )


def _targets_from(target: float) -> tuple[float, ...]:
    """Targets that are worked out for this one: of two targets, the looser one has all those of the stricter."""
    return tuple(each for each in TARGETS if each >= target - 1e-9) or (target,)


@dataclass(frozen=True)
class _Fits:
    """For T targets and C classes: thresholds, infinite = never answered, and which classes have one of their own."""

    thresholds: NDArray[np.float64]
    separate: NDArray[np.bool_]


@dataclass(frozen=True)
class _Answers:
    """What thresholds are fitted to: N probabilities, classes and whether they are right."""

    probability: NDArray[np.float64]
    predicted: NDArray[np.int64]
    right: NDArray[np.bool_]
    classes: int
    per_class: bool

    @classmethod
    def of(
        cls,
        probability: NDArray[Any],
        predicted: NDArray[np.int64],
        targets: NDArray[np.int64],
        classes: int,
        *,
        per_class: bool,
    ) -> Self:
        if not probability.shape == predicted.shape == targets.shape or probability.ndim != 1:
            raise ValueError(
                f"{probability.shape} probabilities, {predicted.shape} answers and {targets.shape} true classes: "
                "expected N of each"
            )
        return cls(probability.astype(np.float64), predicted, predicted == targets, classes, per_class)

    def share(self, thresholds: NDArray[np.float64]) -> float:
        """Fraction of the images that is answered."""
        return float((self.probability >= thresholds[self.predicted]).mean()) if len(self.right) else 0.0

    def highest(self) -> float:
        """The highest target that answers any image; 0 = none does."""
        answering = np.isfinite(self.fit(TARGETS).thresholds).any(axis=1)
        return float(np.max(np.array(TARGETS)[answering], initial=0))

    def fit(self, targets: Sequence[float]) -> _Fits:
        """Thresholds for each target by itself."""
        separate = np.ones((len(targets), self.classes), bool)
        thresholds = np.empty(separate.shape)
        if not self.per_class:
            separate, thresholds = self._share_thresholds(np.array(targets))
        for index in np.flatnonzero(separate.any(axis=0)):
            own = self._certify(self.predicted == index, targets)
            thresholds[:, index] = np.where(separate[:, index], own, thresholds[:, index])
        return _Fits(thresholds, separate)

    def _share_thresholds(self, targets: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which classes have to have thresholds of their own, and those of the others: T x C each."""
        ranks = np.argsort(np.argsort(-self.probability, kind="stable"), kind="stable")
        sure_half = ranks < len(ranks) * SURE_HALF
        separate = self._refuting(np.broadcast_to(sure_half, (len(targets), len(ranks))), targets)
        shared = np.full(len(targets), np.inf)
        for apart in np.unique(separate, axis=0):
            these = (separate == apart).all(axis=1)
            shared[these] = self._certify(~apart[self.predicted], targets[these])
        separate |= self._refuting(self.probability >= shared[:, None], targets)
        return separate, np.repeat(shared[:, None], self.classes, axis=1)

    def _certify(
        self, chosen: NDArray[np.bool_], targets: Sequence[float] | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return certify_thresholds(self.probability[chosen], self.right[chosen], list(targets))

    def _refuting(self, answered: NDArray[np.bool_], targets: NDArray[np.float64]) -> NDArray[np.bool_]:
        """T x C, the classes whose answers are wrong too often for the target; `answered` is T x N."""
        counts, hits = (
            np.array([np.bincount(self.predicted[row], minlength=self.classes) for row in rows])
            for rows in (answered, answered & self.right)
        )
        # Of no answers the tail is 1.
        return lower_tail(hits, counts, targets[:, None]) < (1 - CONFIDENCE) / self.classes
