"""What the finished model may promise, by its answers to the validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torchvision.models import ResNet
from tqdm import tqdm

from ..data.dataset import Sample
from ..data.folders import listed
from ..data.picks import pick
from ..fitting.features import outputs_of
from ..fitting.subject import Normalize, images_of, on_device
from ..planning import Plan
from ..resnext.machine.devices import full_fp32
from ..resnext.network.answering import answering
from ..resnext.network.inference import Outputs
from ..resnext.trust.calibration import Calibration, calibrate, calibrated, reliability
from ..resnext.trust.costs import Costs, answers_of
from ..resnext.trust.evidence import Evidence
from ..resnext.trust.intervals import wilson
from ..resnext.trust.open_set import KnownFeatures
from ..resnext.trust.prediction_sets import prediction_sets
from ..resnext.trust.promises import promise
from .answers import Answers
from .charts import GRID, INK, MUTED, RIGHT, SOFT, new_figure, set_heading, style_axes
from .page import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STANDING_FOR_ALL = 2000
"""Training images whose features are looked at: their mean is then known to a fortieth of their spread."""

PRECISIONS, COVERAGES = (0.9, 0.95, 0.99), (0.9, 0.95)
"""Of which report and metrics tell what they would cost."""


MOST_IMAGES = 0.3
"""Height of the highest bar in the reliability diagram, so that it hides nothing."""


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


def learn(plan: Plan, network: ResNet, validation: Answers, hurried: bool) -> Trust:
    """Learn what to promise.

    Args:
        network: the best one, on the CPU, in fp32; it stays as it is.
        validation: its answers to the validation images.
        hurried: there is no time to look at images again, so that there is no evidence.

    Raises:
        ReadError: an image cannot be read any more.
    """
    labels, targets = plan.dataset.labels, validation.targets
    if hurried:
        calibration = calibrate(validation.logits, targets)
        unseen = np.empty((len(targets), 0), np.float32)
        return Trust(Outputs(validation.logits, unseen), targets, labels, calibration, None, plan.costs)
    told = answering(plan.start.architecture.load(network.state_dict()))
    typical = _outputs(told, plan, pick(plan.dataset.train, STANDING_FOR_ALL, plan.parameters.seed))
    outputs = _outputs(told, plan, plan.dataset.val)
    calibration = calibrate(outputs.logits, targets)
    evidence = _evidence(outputs, targets, typical, calibration, plan.costs)
    return Trust(outputs, targets, labels, calibration, evidence, plan.costs)


def _outputs(network: nn.Module, plan: Plan, samples: Sequence[Sample]) -> Outputs:
    """In fp32, without augmentation."""
    whole = on_device(nn.Sequential(Normalize(plan.start.preprocessing), network), plan.device)
    images = tqdm(images_of(plan, samples), desc="What can be promised", unit="batch")
    with full_fp32():
        rows, _ = outputs_of(whole, images, plan.device, "fp32")
    return Outputs.of(rows.numpy(), len(plan.dataset.labels))


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


def reliability_diagram(trust: Trust) -> "Figure":
    """How often answers are right, by how sure they are: before and after calibration, or once where there is none."""
    temperature = trust.calibration.temperature
    parts = {"": 1.0} if temperature == 1 else {"before calibration": 1.0, "after calibration": temperature}
    figure = new_figure(6 * len(parts), 4.2)
    for axes, (name, divisor) in zip(np.ravel(figure.subplots(1, len(parts))), parts.items(), strict=True):
        bins = reliability(calibrated(trust.outputs.logits, divisor), trust.targets)
        sure, right = [each.confidence for each in bins], [each.accuracy for each in bins]
        most = max(each.images for each in bins)
        heights = [MOST_IMAGES * each.images / most for each in bins]
        axes.bar(sure, heights, width=0.02, color=SOFT, label="images")
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="as promised")
        ends = [wilson(round(each.accuracy * each.images), each.images) for each in bins]
        axes.vlines(sure, *zip(*ends, strict=True), color=RIGHT, linewidth=1, alpha=0.5, label="95 % interval")
        axes.plot(sure, right, color=RIGHT, linewidth=2, marker="o", markersize=4, label="found")
        style_axes(axes, name)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04))
        axes.set_xlabel("how sure the answer is", color=MUTED)
        axes.set_ylabel("share of right answers", color=MUTED)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.legend(frameon=False, labelcolor=INK, fontsize=9, loc="upper left")
    set_heading(figure, f"Do the probabilities hold{', without calibration' if temperature == 1 else ''}?")
    return figure


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
