"""What a network says of images → predictions: calibrated, open to the unknown, and within what was promised."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .parameters import Parameters
from .predictions import Doubt, Prediction, top_k
from .resnext.host.schema import ParameterError
from .resnext.network.inference import Outputs
from .resnext.trust.calibration import Calibration, calibrated
from .resnext.trust.evidence import EVIDENCE, Evidence
from .resnext.trust.open_set import KnownFeatures, threshold
from .resnext.trust.prediction_sets import PredictionSets, prediction_sets
from .resnext.trust.promises import Promises, promise


class Judge:
    """Gives answers, or says why it gives none.

    Args:
        labels: in index order.
        calibration: None = the model brings no temperature.
        evidence: None = the model brings nothing to promise anything by.

    Raises:
        ParameterError: something is to be promised without evidence.
    """

    def __init__(
        self,
        labels: Sequence[str],
        parameters: Parameters,
        calibration: Calibration | None,
        evidence: Evidence | None,
    ) -> None:
        if evidence is None and (problems := _promised(parameters)):
            raise ParameterError(
                [
                    f"{name} = {value:g}: the model brings no {EVIDENCE}, by which it could be promised; train it with "
                    "train_torchvision_resnext 2.1 or later, or set it to 0"
                    for name, value in problems.items()
                ]
            )
        self._labels = labels
        self._parameters = parameters
        self._calibration = calibration
        self._known: KnownFeatures | None = None
        self._least_known = -np.inf
        self._promises: Promises | None = None
        self._sets: PredictionSets | None = None
        if evidence is not None:
            self._take(evidence)

    def _take(self, evidence: Evidence) -> None:
        asked, classes = self._parameters, len(self._labels)
        target = evidence.target.astype(np.int64)
        self._known = evidence.known_features
        if asked.unknown_sensitivity:
            self._least_known = threshold(evidence.known_score, 1 - asked.unknown_sensitivity)
        if asked.target_precision:
            predicted = evidence.predicted.astype(np.int64)
            self._promises = promise(evidence.probability, predicted, target, classes, asked.target_precision)
        if asked.coverage:
            self._sets = prediction_sets(evidence.true_probability, target, classes, asked.coverage)

    def predictions(self, outputs: Outputs) -> list[Prediction]:
        """A prediction for each image. Raises: ValueError for logits that are not finite."""
        asked = self._parameters
        honest = calibrated(outputs.logits, self._temperature)
        shown = honest if asked.calibrated else calibrated(outputs.logits, 1)
        scores = self._known.scores(outputs.logits, outputs.features) if self._known else None
        best = top_k(shown, self._labels, asked.top_k)
        return [self._judged(best[place], honest[place], place, outputs, scores) for place in range(len(best))]

    def _judged(
        self,
        prediction: Prediction,
        honest: NDArray[np.float64],
        place: int,
        outputs: Outputs,
        scores: NDArray[np.float64] | None,
    ) -> Prediction:
        """One image's; `honest` are its calibrated probabilities."""
        score = None if scores is None else float(scores[place])
        return prediction.judged(
            self._doubt(honest, score, prediction.probability),
            score,
            None if self._sets is None else tuple(self._labels[index] for index in self._sets.of(honest)),
            tuple(outputs.features[place].tolist()) if self._parameters.embeddings else None,
        )

    def _doubt(self, honest: NDArray[np.float64], score: float | None, shown: float) -> Doubt | None:
        """Why there is no answer; `honest` are the calibrated probabilities of one image."""
        asked, best = self._parameters, int(honest.argmax())
        if score is not None and score < self._least_known:
            return Doubt(
                "unlike",
                f"unlike what was learned: its score is {score:.3g}, and {1 - asked.unknown_sensitivity:.4g} of the "
                f"validation images have {self._least_known:.3g} or more",
            )
        if self._promises and not self._promises.keeps(best, float(honest[best])):
            least = self._promises.thresholds[best]
            given = "never given" if least is None else f"given from a calibrated probability of {least:.4g} on"
            return Doubt(
                "imprecise",
                f"below the promised precision of {asked.target_precision:g}: {self._labels[best]} is {given}",
            )
        if shown < asked.confidence_threshold:
            return Doubt("unsure", f"below the confidence threshold of {asked.confidence_threshold:g}")
        return None

    @property
    def _temperature(self) -> float:
        return self._calibration.temperature if self._calibration else 1.0

    def describe(self) -> dict[str, Any]:
        """What the answers may promise, JSON-ready."""
        return {
            "calibrated": self._parameters.calibrated and self._calibration is not None,
            "temperature": self._temperature,
            "unknown_below": self._least_known if np.isfinite(self._least_known) else None,
            "promises": self._promises.to_dict(self._labels) if self._promises else None,
            "sets": self._sets.to_dict(self._labels) if self._sets else None,
        }


def _promised(parameters: Parameters) -> dict[str, float]:
    asked = {"target_precision": parameters.target_precision, "coverage": parameters.coverage}
    return {name: value for name, value in asked.items() if value}
