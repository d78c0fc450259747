"""What the finished model may promise, by its answers to the validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.folders import listed
from ..data.samples import pick
from ..plan import Plan
from ..resnext.network.answering import answering
from ..resnext.network.inference import Outputs
from ..resnext.trust.calibration import Calibration, calibrate, calibrated
from ..resnext.trust.costs import Costs, answers_of
from ..resnext.trust.evidence import Evidence
from ..resnext.trust.open_set import KnownFeatures
from ..resnext.trust.prediction_sets import prediction_sets
from ..resnext.trust.promises import promise
from .judging import Judged, exact_outputs
from .page import percent

STANDING_FOR_ALL = 2000
"""Training images whose features are looked at: their mean is then known to a fortieth of their spread."""

PRECISIONS, COVERAGES = (0.9, 0.95, 0.99), (0.9, 0.95)
"""Of which report and metrics tell what they would cost."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What is written into the model folder, and what the report shows of it.

    Attributes:
        outputs: of the N validation images: N x C logits, N x F features; no features where nobody waited for them.
        targets: their true classes.
        labels: C, in index order.
        evidence: None where nobody waited for it.
        costs: of wrong answers; None where nobody said.
    """

    outputs: Outputs
    targets: NDArray[np.int64]
    labels: Sequence[str]
    calibration: Calibration
    evidence: Evidence | None
    costs: Costs | None = None

    def to_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        probabilities = calibrated(self.outputs.logits, self.calibration.temperature)
        answers, classes = answers_of(probabilities, self.costs), len(self.labels)
        sure, true = _probabilities_of(answers, probabilities), _probabilities_of(self.targets, probabilities)
        promises = [promise(sure, answers, self.targets, classes, target).to_dict(self.labels) for target in PRECISIONS]
        sets = [prediction_sets(true, self.targets, classes, coverage) for coverage in COVERAGES]
        return {
            "calibration": self.calibration.model_dump(),
            "costs": self._priced(probabilities),
            "promises": promises,
            "sets": [
                {**each.to_dict(self.labels), "mean_size": float(np.mean([len(each.of(row)) for row in probabilities]))}
                for each in sets
            ],
        }

    def _priced(self, probabilities: NDArray[np.float64]) -> dict[str, Any] | None:
        """What answers cost, and how often they are right, by what they are decided by; None without costs."""
        if self.costs is None:
            return None
        decided = {"probability": probabilities.argmax(axis=1), "cost": self.costs.decide(probabilities)}
        return {
            by: {"mean_cost": self.costs.mean(answers, self.targets), "right": float((answers == self.targets).mean())}
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
        ]


def learn(plan: Plan, judged: Judged) -> Trust:
    """Learn what to promise. In a hurry no image is looked at again, so that there is no evidence.

    Raises:
        ReadError: an image cannot be read any more.
    """
    labels, targets, logits = plan.dataset.labels, judged.validation.targets, judged.validation.logits
    if judged.hurried:
        unseen = np.empty((len(targets), 0), np.float32)
        return Trust(Outputs(logits, unseen), targets, labels, calibrate(logits, targets), None, plan.costs)
    network = answering(plan.start.architecture.load(judged.network.state_dict()))
    typical, outputs = (
        Outputs.of(exact_outputs(network, plan, samples, "What can be promised"), len(labels))
        for samples in (pick(plan.dataset.train, STANDING_FOR_ALL, plan.parameters.seed), plan.dataset.val)
    )
    calibration = calibrate(outputs.logits, targets)
    evidence = _evidence(outputs, targets, typical, calibration, plan.costs)
    return Trust(outputs, targets, labels, calibration, evidence, plan.costs)


def _evidence(
    outputs: Outputs, targets: NDArray[np.int64], typical: Outputs, calibration: Calibration, costs: Costs | None
) -> Evidence:
    known = KnownFeatures.of(typical.logits, typical.features)
    probabilities = calibrated(outputs.logits, calibration.temperature)
    answers = answers_of(probabilities, costs)
    return Evidence(
        probability=_probabilities_of(answers, probabilities).astype(np.float32),
        true_probability=_probabilities_of(targets, probabilities).astype(np.float32),
        predicted=answers.astype(np.int32),
        target=targets.astype(np.int32),
        known_score=known.scores(outputs.logits, outputs.features).astype(np.float32),
        feature_mean=known.mean,
        feature_axes=known.axes,
        feature_scale=np.array([known.scale], np.float32),
    )


def _probabilities_of(classes: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """N, of one class of each of N rows."""
    return np.asarray(np.take_along_axis(probabilities, classes[:, None], 1)[:, 0])


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
    never = figures["never_answered"]
    return f"{told}; never answered: {listed(never)}." if never else f"{told}."


def _covered(figures: dict[str, Any]) -> str:
    return f"coverage = {figures['coverage']:g} gives sets of {figures['mean_size']:.2f} classes on average."
