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
from ..resnext.trust.evidence import Evidence
from ..resnext.trust.open_set import KnownFeatures
from ..resnext.trust.prediction_sets import prediction_sets
from ..resnext.trust.promises import promise
from .answers import Answers
from .charts import GRID, MUTED, RIGHT, SOFT, new_figure, set_heading, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STANDING_FOR_ALL = 2000
"""Training images whose features are looked at: their mean is then known to a fortieth of their spread."""

PRECISIONS, COVERAGES = (0.9, 0.95, 0.99), (0.9, 0.95)
"""Of which report and metrics tell what they would cost."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What is written into the model folder, and what the report shows of it.

    Attributes:
        logits: of the N validation images, N x C.
        targets: their true classes.
        labels: C, in index order.
        evidence: None where nobody waited for it.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    labels: Sequence[str]
    calibration: Calibration
    evidence: Evidence | None

    def to_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        probabilities = calibrated(self.logits, self.calibration.temperature)
        best, classes = probabilities.argmax(axis=1), len(self.labels)
        true = np.take_along_axis(probabilities, self.targets[:, None], 1)[:, 0]
        promises = [
            promise(probabilities.max(axis=1), best, self.targets, classes, target).to_dict(self.labels)
            for target in PRECISIONS
        ]
        sets = [prediction_sets(true, self.targets, classes, coverage) for coverage in COVERAGES]
        return {
            "calibration": self.calibration.model_dump(),
            "promises": promises,
            "sets": [
                {**each.to_dict(self.labels), "mean_size": float(np.mean([len(each.of(row)) for row in probabilities]))}
                for each in sets
            ],
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
        return [told, *map(_promised, figures["promises"]), *map(_covered, figures["sets"])]


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
        return Trust(validation.logits, targets, labels, calibration, None)
    told = answering(plan.start.architecture.load(network.state_dict()))
    typical = _outputs(told, plan, pick(plan.dataset.train, STANDING_FOR_ALL, plan.parameters.seed))
    outputs = _outputs(told, plan, plan.dataset.val)
    calibration = calibrate(outputs.logits, targets)
    return Trust(outputs.logits, targets, labels, calibration, _evidence(outputs, targets, typical, calibration))


def _outputs(network: nn.Module, plan: Plan, samples: Sequence[Sample]) -> Outputs:
    """In fp32, without augmentation."""
    whole = on_device(nn.Sequential(Normalize(plan.start.preprocessing), network), plan.device)
    images = tqdm(images_of(plan, samples), desc="What can be promised", unit="batch")
    with full_fp32():
        rows, _ = outputs_of(whole, images, plan.device, "fp32")
    return Outputs.of(rows.numpy(), len(plan.dataset.labels))


def _evidence(outputs: Outputs, targets: NDArray[np.int64], typical: Outputs, calibration: Calibration) -> Evidence:
    known = KnownFeatures.of(typical.logits, typical.features)
    probabilities = calibrated(outputs.logits, calibration.temperature)
    return Evidence(
        probability=probabilities.max(axis=1).astype(np.float32),
        true_probability=np.take_along_axis(probabilities, targets[:, None], 1)[:, 0].astype(np.float32),
        predicted=probabilities.argmax(axis=1).astype(np.int32),
        target=targets.astype(np.int32),
        known_score=known.scores(outputs.logits, outputs.features).astype(np.float32),
        feature_mean=known.mean,
        feature_axes=known.axes,
        feature_scale=np.array([known.scale], np.float32),
    )


def reliability_diagram(trust: Trust) -> "Figure":
    """How often answers are right, by how sure they are, before and after calibration."""
    figure = new_figure(12, 4.2)
    temperatures = {"before calibration": 1.0, "after calibration": trust.calibration.temperature}
    for axes, (name, temperature) in zip(figure.subplots(1, 2), temperatures.items(), strict=True):
        bins = reliability(calibrated(trust.logits, temperature), trust.targets)
        most = max(each.images for each in bins)
        axes.bar(
            [each.confidence for each in bins],
            [each.images / most for each in bins],
            width=0.02,
            color=SOFT,
            label="images",
        )
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="as promised")
        axes.plot(
            [each.confidence for each in bins],
            [each.accuracy for each in bins],
            color=RIGHT,
            linewidth=2,
            marker="o",
            markersize=4,
            label="found",
        )
        style_axes(axes, name)
        axes.grid(color=GRID)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="how sure the answer is", ylabel="share of right answers")
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    set_heading(figure, "Do the probabilities hold?")
    return figure


def _promised(figures: dict[str, Any]) -> str:
    told = (
        f"target_precision = {figures['target_precision']:g} answers {figures['answered']:.1%} of the validation images"
    )
    never = figures["never_answered"]
    return f"{told}; never answered: {listed(never)}." if never else f"{told}."


def _covered(figures: dict[str, Any]) -> str:
    return f"coverage = {figures['coverage']:g} gives sets of {figures['mean_size']:.2f} classes on average."
