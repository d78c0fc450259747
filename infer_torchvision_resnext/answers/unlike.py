"""Whether images are like those that a network learned from, and what differs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resnext.trust.evidence import Evidence
from ..resnext.trust.input_score import Statistics
from ..resnext.trust.likeness import Likeness
from ..resnext.trust.open_set import expected_rejection, threshold

KNOWN, SURE, PIXELS = "known_score", "probability", "input_score"
"""Scores of an image: by its features, the calibrated probability of the answer, by its pixels."""

NOTHING_UNLIKE: dict[str, Any] = {"unknown_below": None, "unknown_expected": None, "unknown_by": []}
"""Description where nothing is rejected."""

Floats = NDArray[Any]


class UnlikeTest:
    """Rejects what is less like the training images than a share of the validation images.

    By features, probability and pixels; by features alone where the model has no statistics of pixels.

    Args:
        sensitivity: share of known images that may be rejected, in (0, 1).
    """

    def __init__(self, evidence: Evidence, sensitivity: float) -> None:
        scores = {KNOWN: evidence.known_score}
        if evidence.input_score is not None:
            scores |= {SURE: evidence.probability, PIXELS: evidence.input_score}
        self._passing = 1 - sensitivity
        self._reference = evidence.input_reference_images
        self._least_known = threshold(evidence.known_score, self._passing)
        self._likeness = Likeness.of(scores)
        self._least = self._likeness.threshold(sensitivity)
        self.expected = expected_rejection(len(evidence.known_score), sensitivity)
        """Share of known images that is rejected, on average."""
        self.validation = self.reject(scores)
        """Which of the validation images are rejected."""

    def reject(self, scores: Mapping[str, Floats]) -> NDArray[np.bool_]:
        """N scores of each kind → which of N images are rejected."""
        if self._reference is None:
            return np.asarray(np.asarray(scores[KNOWN]) < self._least_known)
        return np.asarray(self._likeness.p_values(scores)[0] < self._least)

    def p_value(self, known_score: float, probability: float, pixels: Statistics | None) -> tuple[float, str]:
        """Share of the validation images that are less like the training images, by which score it is least."""
        p_values, names = self._likeness.p_values(self._scores(known_score, probability, pixels))
        return float(p_values[0]), names[0]

    def reason(self, known_score: float, probability: float, pixels: Statistics | None) -> str:
        """Why an image is rejected, for a person; empty if it is not.

        Args:
            probability: calibrated, of the class that would be the answer.
            pixels: 13 statistics of its crop; needed where the model has those of the training images.
        """
        if not self.reject(self._scores(known_score, probability, pixels))[0]:
            return ""
        name = KNOWN if self._reference is None else self.p_value(known_score, probability, pixels)[1]
        if name == PIXELS and self._reference is not None and pixels is not None:
            return f"unlike the training images: {self._reference.describe(pixels)}"
        if name == SURE:
            return f"unlike the training images: the most probable class has only {probability:.3g}"
        return (
            f"unlike what was learned: its score is {known_score:.3g}, and {self._passing:.4g} of the "
            f"validation images have {self._least_known:.3g} or more"
        )

    def _scores(self, known_score: float, probability: float, pixels: Statistics | None) -> dict[str, Floats]:
        scores: dict[str, Floats] = {KNOWN: np.array([known_score]), SURE: np.array([probability])}
        if self._reference is not None and pixels is not None:
            scores[PIXELS] = self._reference.scores(pixels[None])
        return scores

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `unknown_by` are the scores that are used."""
        return {
            "unknown_below": self._least_known,
            "unknown_expected": self.expected,
            "unknown_by": [KNOWN] if self._reference is None else [KNOWN, SURE, PIXELS],
        }
