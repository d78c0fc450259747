"""What the finished model may promise, by its answers to the validation images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..data.folders import listed
from ..data.samples import pick
from ..resnext.network.answering import answering
from ..resnext.network.outputs import Outputs
from ..resnext.trust.calibration import Calibration, calibrate
from ..resnext.trust.evidence import Evidence
from ..resnext.trust.input_score import MOST_REFERENCES, InputReference
from ..resnext.trust.open_set import SENSITIVITY, KnownFeatures, expected_rejection
from ..resnext.trust.prediction_sets import fit_prediction_sets
from ..resnext.trust.promises import fit_precision_thresholds
from ..run.plan import Plan
from .answers import Answers
from .judging import Judged, PixelStatistics, exact_outputs
from .page import percent

STANDING_FOR_ALL = 2000
"""Training images whose features are looked at: their mean is then known to a fortieth of their spread."""

FEWEST_BY_FEATURE = 0.5
"""Training images for each feature, below which unknown images of most kinds passed where that was measured."""

PRECISIONS, COVERAGES = (0.9, 0.95, 0.99), (0.9, 0.95)
"""Of which report and metrics tell what they would cost."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What is written into the model folder, and what the report shows of it.

    Attributes:
        answers: to the validation images, calibrated, in fp32 where it could be waited for.
        evidence: None where the features of the validation images are not known.
        training_images: that the evidence describes.
    """

    answers: Answers
    calibration: Calibration
    evidence: Evidence | None
    training_images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        answers, labels, targets = self.answers, self.answers.labels, self.answers.targets
        sure, true, classes = answers.probability_of(answers.decided), answers.probability_of(targets), len(labels)
        promises = [fit_precision_thresholds(sure, answers.decided, targets, classes, target) for target in PRECISIONS]
        sets = [fit_prediction_sets(true, targets, classes, coverage) for coverage in COVERAGES]
        return {
            "calibration": self.calibration.model_dump(),
            "costs": self._priced(),
            "unknown": {
                "sensitivity": SENSITIVITY,
                "validation_images": len(targets),
                "expected": expected_rejection(len(targets), SENSITIVITY),
            },
            "promises": [promise.to_dict(labels) for promise in promises],
            "sets": [
                {
                    **each.to_dict(labels),
                    "mean_size": float(np.mean([len(each.of(row)) for row in answers.probabilities])),
                }
                for each in sets
            ],
        }

    def _priced(self) -> dict[str, Any] | None:
        """What answers cost, and how often they are right, by what they are decided by; None without costs."""
        costs, targets = self.answers.costs, self.answers.targets
        if costs is None:
            return None
        decided = {"probability": self.answers.probabilities.argmax(axis=1), "cost": self.answers.decided}
        return {
            by: {"mean_cost": costs.mean(answers, targets), "right": float((answers == targets).mean())}
            for by, answers in decided.items()
        }

    def lines(self) -> list[str]:
        """For the report, a sentence each."""
        found, figures = self.calibration, self.to_dict()
        if found.reason:
            told = f"Probabilities are left as they are: {found.reason}. Their expected calibration error is"
            told += f" {found.ece_before:.3f}."
        else:
            told = (
                f"Logits are divided by {found.temperature:.3g}: the expected calibration error goes from "
                f"{found.ece_before:.3f} to {found.ece_after:.3f}, judged on images that the temperature was not "
                "fitted on."
            )
        costs = figures["costs"]
        return [
            told,
            *(_spent(costs) if costs else []),
            *map(_promised, figures["promises"]),
            *map(_covered, figures["sets"]),
            *([_rejected(figures["unknown"])] if self.evidence else []),
            *([unknown_reliability(self.training_images, self.evidence.feature_mean.size)] if self.evidence else []),
        ]


def learn(plan: Plan, judged: Judged, on_batch: Callable[[], None] = lambda: None) -> Trust:
    """Learn what to promise. Without features of the validation images there is no evidence.

    Args:
        on_batch: called before each batch of training images; what it raises ends it.

    Raises:
        ReadError: a training image cannot be read any more.
    """
    outputs, targets = judged.outputs, judged.validation.targets
    calibration = calibrate(outputs.logits, targets)
    answers = judged.validation.at(calibration.temperature)
    if judged.no_features:
        return Trust(answers, calibration, None)
    network = answering(plan.start.architecture.load(judged.network.state_dict()))
    samples = pick(plan.dataset.train, STANDING_FOR_ALL, plan.parameters.seed)
    measured = PixelStatistics()

    def look(crops: torch.Tensor) -> None:
        measured.look(crops)
        on_batch()

    rows = exact_outputs(network, plan, samples, "Calibrating: training images", look)
    typical = replace(Outputs.of(rows, len(plan.dataset.labels)), pixels=measured.statistics)
    evidence = _evidence(answers, replace(outputs, pixels=judged.pixels), typical)
    return Trust(answers, calibration, evidence, len(samples))


def _evidence(answers: Answers, outputs: Outputs, typical: Outputs) -> Evidence:
    assert outputs.pixels is not None, "pixels are measured where features are"
    assert typical.pixels is not None, "pixels are measured where features are"
    # Every so many, for they stand class by class.
    reference = InputReference(typical.pixels[:: -(-len(typical.pixels) // MOST_REFERENCES)])
    known = KnownFeatures.of(typical.logits, typical.features)
    return Evidence(
        probability=answers.probability_of(answers.decided).astype(np.float32),
        true_probability=answers.probability_of(answers.targets).astype(np.float32),
        predicted=answers.decided.astype(np.int32),
        target=answers.targets.astype(np.int32),
        known_score=known.scores(outputs.logits, outputs.features).astype(np.float32),
        feature_mean=known.mean,
        feature_axes=known.axes,
        feature_scale=np.array([known.scale], np.float32),
        input_reference=reference.statistics,
        input_score=reference.scores(outputs.pixels),
        input_moments=np.stack([outputs.pixels.mean(axis=0), outputs.pixels.std(axis=0)]),
    )


def _spent(costs: dict[str, Any]) -> list[str]:
    by, least = costs["probability"], costs["cost"]
    return [
        f"Answers of least expected cost, which inference gives, cost {least['mean_cost']:.4g} on average and are "
        f"right in {percent(least['right'])}; the most probable ones, which the figures above are of, cost "
        f"{by['mean_cost']:.4g} and are right in {percent(by['right'])}."
    ]


def _promised(figures: dict[str, Any]) -> str:
    told = (
        f"target_precision = {figures['target_precision']:g} answers {percent(figures['answered'])} of the validation "
        "images"
    )
    never, highest = figures["never_answered"], figures["highest_precision"]
    if never:
        told += f"; never answered: {listed(never)}"
    if highest is None:
        return f"{told}."
    limit = f"at most {highest:g} can be promised" if highest else "no precision can be promised"
    return f"{told}. With these images {limit}; this one needs at least {figures['flawless_images']} right answers " + (
        "without a wrong one."
    )


def _covered(figures: dict[str, Any]) -> str:
    told = f"coverage = {figures['coverage']:g} gives sets of {figures['mean_size']:.2f} classes on average"
    if figures["confidence"]:
        return f"{told}."
    return f"{told}; 95 % confidence needs {figures['images_needed']} validation images."


def _rejected(figures: dict[str, Any]) -> str:
    return (
        f"unknown_sensitivity = {figures['sensitivity']:g} is expected to answer {percent(figures['expected'])} of "
        f"known images unknown, by {figures['validation_images']} validation images."
    )


def unknown_reliability(training_images: int, features: int) -> str:
    """How far `unlike` can be relied on, in a sentence: with few images a subspace says little about their features.

    Args:
        training_images: whose features were looked at.
        features: of each image.
    """
    basis = f"{training_images:,} training images with {features:,} features each"
    if training_images < FEWEST_BY_FEATURE * features:
        return (
            f"Unknown images are found unreliably: {basis} are too few, and many images of other things may be "
            "answered with a class. Add training images, or a class of other things, and try the model on what it "
            "should reject."
        )
    return (
        f"Unknown images of another kind are usually found, by {basis}; things that resemble a class can still be "
        "answered with it. Unknown images had no part in this: try the model on what it should reject."
    )
