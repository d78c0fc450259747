"""What a network says of images → predictions: calibrated, open to the unknown, and within what was promised."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..parameters.task import Parameters
from ..resnext.host.schema import ParameterError
from ..resnext.network.outputs import Outputs, softmax
from ..resnext.trust.calibration import Calibration, calibrated
from ..resnext.trust.costs import Costs
from ..resnext.trust.evidence import EVIDENCE, Evidence
from ..resnext.trust.open_set import KnownFeatures
from ..resnext.trust.prediction_sets import PredictionSets, fit_prediction_sets
from ..resnext.trust.promises import Promises, fit_class_thresholds, fit_precision_thresholds
from .drift import Drift
from .predictions import Doubt, Prediction, Track, top_k
from .tracks import Pooled
from .unlike import NOTHING_UNLIKE, UnlikeTest

FEWEST_OBJECTS, MANY_UNLIKE = 4, 0.25
"""A frame of at least so many objects, of which more than this share is `unlike`, gets a note."""

UNLIKE_OBJECTS = (
    "objects are unknown because they are unlike the training images: crops of objects can differ from whole images. "
    "Set object_margin so that objects are framed as in the training images, train on crops like these, or set "
    "unknown_sensitivity to 0 to switch the check off"
)

MOST_LOST = 2
"""Times the wanted share of known images that may be `unknown` without a note."""


class Judge:
    """Gives answers, or says why it gives none.

    Args:
        labels: in index order.
        calibration: None = the model brings no temperature.
        evidence: a sentence = why the model has none, and what gives it some.
        costs: None = the model does not say what wrong answers cost.

    Raises:
        ParameterError: something is to be promised without evidence, or decided by costs that are not known.
    """

    def __init__(
        self,
        labels: Sequence[str],
        parameters: Parameters,
        calibration: Calibration | None,
        evidence: Evidence | str,
        costs: Costs | None = None,
    ) -> None:
        if problems := [*_not_promised(parameters, evidence), *_not_decided(parameters, costs)]:
            raise ParameterError(problems)
        self._labels = labels
        self._parameters = parameters
        self._calibration = calibration
        self._costs = None if parameters.decide_by == "probability" else costs
        self._known: KnownFeatures | None = None
        self._unlike: UnlikeTest | None = None
        self._promises: Promises | None = None
        self._sets: PredictionSets | None = None
        self.drift: Drift | None = None
        """Frames of late beside validation; None where nobody asked."""
        self.measures_pixels = False
        """Whether outputs have to come with statistics of the crops."""
        if not isinstance(evidence, str):
            self._take(evidence)

    def _take(self, evidence: Evidence) -> None:
        asked, classes = self._parameters, len(self._labels)
        target = evidence.target.astype(np.int64)
        self._known = evidence.known_features
        if asked.unknown_sensitivity:
            self._unlike = UnlikeTest(evidence, asked.unknown_sensitivity)
        if asked.target_precision:
            predicted = evidence.predicted.astype(np.int64)
            fit = fit_class_thresholds if asked.target_precision_per_class else fit_precision_thresholds
            self._promises = fit(evidence.probability, predicted, target, classes, asked.target_precision)
        if asked.coverage:
            self._sets = fit_prediction_sets(evidence.true_probability, target, classes, asked.coverage)
        if asked.drift_window:
            validation = zip(evidence.predicted, evidence.probability, strict=True)
            doubts = [self._uncertainty(int(best), float(p), float(p)) for best, p in validation]
            unknown = np.array([self._counts(doubt) for doubt in doubts])
            unlike = self._unlike.validation if self._unlike else np.zeros(len(unknown), bool)
            self.drift = Drift(asked.drift_window, evidence.known_score, unknown | unlike, evidence.input_moments)
        self.measures_pixels = evidence.input_reference is not None and bool(self._unlike or self.drift)

    @property
    def notes(self) -> list[str]:
        """What the evidence is too little for, a sentence each."""
        advice = [part.advice() for part in (self._promises, self._sets) if part]
        sensitivity, expected = self._parameters.unknown_sensitivity, self._unlike.expected if self._unlike else None
        if expected is not None and expected > MOST_LOST * sensitivity:
            advice.append(
                f"unknown_sensitivity = {sensitivity:g}: about {expected:.1%} of known images are answered unknown, "
                "because the model has too few validation images for less"
            )
        return [sentence for sentence in advice if sentence]

    def predictions(self, outputs: Outputs) -> list[Prediction]:
        """A prediction for each image. Raises: ValueError for logits that are not finite."""
        asked = self._parameters
        honest = calibrated(outputs.logits, self._temperature)
        shown = honest if asked.calibrated else calibrated(outputs.logits, 1)
        scores = self._known.scores(outputs.logits, outputs.features) if self._known else None
        best = top_k(shown, self._labels, asked.top_k, self._expected_costs(honest))
        return [
            self._judged(
                best[place],
                honest[place],
                None if scores is None else float(scores[place]),
                tuple(outputs.features[place].tolist()) if asked.embeddings else None,
                None if outputs.pixels is None else outputs.pixels[place],
            )
            for place in range(len(best))
        ]

    def decide(self, log_probabilities: NDArray[np.float64]) -> int:
        """The class that is the answer: the most probable of C, or that of least expected cost."""
        if self._costs is None:
            return int(log_probabilities.argmax())
        return int(self._costs.decide(softmax(log_probabilities[None].astype(np.float32)))[0])

    def _expected_costs(self, honest: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """N x C of N images; None where nothing is decided by costs."""
        return self._costs.expected(honest) if self._costs else None

    def pooled(self, pooled: Pooled, this_frame: Prediction) -> Prediction:
        """What is to be thought of an object after all its frames; their promises are those of single images."""
        judged = this_frame
        if pooled.log_probabilities is not None:
            logits = pooled.log_probabilities[None].astype(np.float32)
            honest = calibrated(logits, 1)
            shown = honest if self._parameters.calibrated else calibrated(logits, 1 / self._temperature)
            (best,) = top_k(shown, self._labels, 0, self._expected_costs(honest))
            held = best.held_at(pooled.answer, self._parameters.top_k)
            judged = self._judged(held, honest[0], pooled.known_score, this_frame.embedding, this_frame.pixels)
        track = Track(pooled.frames, this_frame)
        return replace(judged, track=track, activation_map=this_frame.activation_map)

    def watch(self, predictions: Sequence[Prediction]) -> list[str]:
        """Take in the objects of a frame, and note what has drifted."""
        if self.drift is None:
            return []
        self.drift.see(
            [(each.known_score, self._counts(each.doubt)) for each in predictions if each.known_score is not None],
            [prediction.pixels for prediction in predictions if prediction.pixels is not None],
        )
        return self.drift.notes()

    def _judged(
        self,
        prediction: Prediction,
        honest: NDArray[np.float64],
        score: float | None,
        embedding: tuple[float, ...] | None,
        pixels: NDArray[np.float32] | None,
    ) -> Prediction:
        """One image's; `honest` are its calibrated probabilities."""
        best = prediction.indices[0]
        possible = None if self._sets is None else dict.fromkeys((best, *self._sets.of(honest)))
        judged = prediction.judged(
            self._unlike_doubt(float(honest[best]), score, pixels)
            or self._uncertainty(best, float(honest[best]), prediction.probability),
            score,
            None if possible is None else tuple(self._labels[index] for index in possible),
            embedding,
        )
        return replace(judged, distribution=honest if self._parameters.track else None, pixels=pixels)

    def _unlike_doubt(self, honest: float, score: float | None, pixels: NDArray[np.float32] | None) -> Doubt | None:
        """Whether the image is unlike the training images; `honest` as in `_uncertainty`."""
        if self._unlike is None or score is None:
            return None
        reason = self._unlike.reason(score, honest, pixels)
        return Doubt("unlike", reason) if reason else None

    def _uncertainty(self, best: int, honest: float, shown: float) -> Doubt | None:
        """Why there is no answer; `honest` is the calibrated probability of the class that stands first, `best`."""
        asked = self._parameters
        if self._promises and not self._promises.keeps(best, honest):
            least = self._promises.thresholds[best]
            given = "never given" if least is None else f"given from a calibrated probability of {least:.4g} on"
            return Doubt(
                "imprecise",
                f"below the promised precision of {asked.target_precision:g}: {self._labels[best]} is {given}",
            )
        if shown < asked.confidence_threshold:
            return Doubt("unsure", f"below the confidence threshold of {asked.confidence_threshold:g}")
        return None

    def _counts(self, doubt: Doubt | None) -> bool:
        """Whether it is one that validation can be asked for; of uncalibrated probabilities it cannot."""
        return doubt is not None and (self._parameters.calibrated or doubt.kind != "unsure")

    @property
    def _temperature(self) -> float:
        return self._calibration.temperature if self._calibration else 1.0

    def _uncalibrated(self) -> str | None:
        """Why probabilities are the network's own; None where a temperature was fitted and is used."""
        if not self._parameters.calibrated:
            return "calibrated = False"
        if self._calibration is None:
            return "the model has no temperature; models of train_torchvision_resnext 2.1 or later can have one"
        return self._calibration.reason or None

    def describe(self) -> dict[str, Any]:
        """What the answers may promise, JSON-ready."""
        return {
            "calibrated": not self._uncalibrated(),
            "uncalibrated_reason": self._uncalibrated(),
            "temperature": self._temperature,
            "decided_by": "cost" if self._costs else "probability",
            "costs": self._costs.digest if self._costs else None,
            **(self._unlike.to_dict() if self._unlike else NOTHING_UNLIKE),
            "promises": self._promises.to_dict(self._labels) if self._promises else None,
            "sets": self._sets.to_dict(self._labels) if self._sets else None,
            **({"drift": self.drift.to_dict()} if self.drift else {}),
        }


def unlike_objects_note(predictions: Sequence[Prediction]) -> str:
    """A note if more of a frame's objects are rejected than chance explains; empty otherwise."""
    readable = [prediction for prediction in predictions if prediction.labels]
    unlike = sum(prediction.doubt is not None and prediction.doubt.kind == "unlike" for prediction in readable)
    if len(readable) < FEWEST_OBJECTS or unlike <= MANY_UNLIKE * len(readable):
        return ""
    return f"{unlike} of {len(readable)} {UNLIKE_OBJECTS}"


def _not_promised(parameters: Parameters, evidence: Evidence | str) -> list[str]:
    """What cannot be promised without evidence, a sentence each."""
    asked = {name: getattr(parameters, name) for name in ("target_precision", "coverage", "drift_window")}
    return [
        f"{name} = {value:g}: requires {EVIDENCE}, which the model does not have: {evidence}; or set {name} to 0"
        for name, value in asked.items()
        if value and isinstance(evidence, str)
    ]


def _not_decided(parameters: Parameters, costs: Costs | None) -> list[str]:
    """Why the answers cannot be decided on as was asked for, a sentence each."""
    if costs is None and parameters.decide_by == "cost":
        return ["decide_by = 'cost': the model does not say what wrong answers cost; train it with a cost_matrix"]
    if costs is not None and parameters.decide_by == "probability" and parameters.target_precision:
        return [
            f"target_precision = {parameters.target_precision:g}: the model's promises are of answers of least "
            "expected cost; set decide_by to auto, or target_precision to 0"
        ]
    return []
