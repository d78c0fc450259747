"""The best network → its answers to the validation and the test images, in fp32, as inference gives them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import ResNet
from tqdm import tqdm
from typing_extensions import Self

from ..data.loading import Batch
from ..data.samples import ReadError, Sample, pick
from ..resnext.folder.golden import Golden
from ..resnext.folder.model_folder import ModelConfig
from ..resnext.machine.threads import fixed_threads
from ..resnext.network.answering import answering
from ..resnext.network.outputs import Outputs
from ..resnext.trust.evidence import Evidence
from ..resnext.trust.input_score import Statistics, measure_crops
from ..run.forward import fp32_outputs
from ..run.plan import Plan
from .answers import Answers

GOLDEN_IMAGES = 32
"""Validation images in the golden set, at 224 pixels 5 MB."""

ENDED_EARLY = "the process was ended before the model was evaluated"
"""Why a model folder is not complete."""


@dataclass(frozen=True)
class Judged:
    """The best network and what it answers.

    Attributes:
        network: in evaluation mode, on the CPU, in fp32.
        history: a row for each epoch of the training.
        outputs: logits and features of the validation images, in their order; the features have no columns where
            `no_features` says why.
        test: None where there are no test images, where they were not waited for, or where one cannot be read any more.
        pixels: statistics of the crops of the validation images, N x 13; None where the network saw none.
        crops: what the network saw of up to 32 validation images, N x S x S x 3 uint8; None where it saw none.
        notes: what the user should know of the answers.
        interrupted: training did not come to its end, and what takes long is left out.
    """

    network: ResNet
    history: Sequence[Mapping[str, float]]
    validation: Answers
    outputs: Outputs
    no_features: str
    test: Answers | None
    pixels: Statistics | None
    crops: NDArray[np.uint8] | None
    notes: tuple[str, ...]
    interrupted: bool = False

    def at(self, temperature: float) -> Self:
        """The same, calibrated."""
        test = self.test.at(temperature) if self.test else None
        return replace(self, validation=self.validation.at(temperature), test=test)


def judge(
    plan: Plan,
    network: ResNet,
    trained: NDArray[np.float32],
    history: Sequence[Mapping[str, float]],
    on_batch: Callable[[], None] = lambda: None,
) -> Judged:
    """Let the network answer; the images of `test/`, which had no part in choosing it, for the first time.

    Each image is read once: the same forward pass gives logits, features and the crops of the golden set.

    Args:
        network: in evaluation mode, on the CPU; not changed.
        trained: its logits on the validation images in its own epoch, N x C. They are taken where an image cannot be
            read any more.
        on_batch: called before each batch; what it raises ends it.
    """
    dataset, classes = plan.dataset, len(plan.dataset.labels)
    notes: list[str] = []
    outputs, crops, no_features = _without_features(trained), None, ""
    pixels: Statistics | None = None
    test: NDArray[np.float32] | None = None
    # A copy, for moving it to a device changes how its weights lie in memory.
    exact = answering(plan.start.architecture.load(network.state_dict()))
    try:
        golden = _Kept(dataset.val, pick(dataset.val, GOLDEN_IMAGES, plan.parameters.seed))

        measured = PixelStatistics()

        def look(crops: torch.Tensor) -> None:
            golden.look(crops)
            measured.look(crops)
            on_batch()

        rows = exact_outputs(exact, plan, dataset.val, "Evaluating: validation images", look)
        outputs, crops, pixels = Outputs.of(rows, classes), golden.crops, measured.statistics
    except ReadError as error:
        no_features = str(error)
        notes.append(f"{_figures_of(plan)}: {error}")
    try:
        if dataset.test:
            rows = exact_outputs(exact, plan, dataset.test, "Evaluating: test images", lambda _: on_batch())
            test = rows[:, :classes]
    except ReadError as error:
        notes.append(f"the images of test/ were not judged: {error}")
    return Judged(
        network,
        history,
        _validated(plan, outputs.logits, len(history)),
        outputs,
        no_features,
        None if test is None else Answers.judge(dataset.test, test, dataset.labels, plan.costs),
        pixels,
        crops,
        tuple(notes),
    )


def judge_by_epoch(
    plan: Plan, network: ResNet, trained: NDArray[np.float32], history: Sequence[Mapping[str, float]]
) -> Judged:
    """As `judge`, but by the answers of the network's own epoch, without a look at any image."""
    notes = [_figures_of(plan)] if plan.precision != "fp32" else []
    if plan.dataset.test:
        notes.append(f"the images of test/ were not judged: {ENDED_EARLY}")
    answers = _validated(plan, trained, len(history))
    outputs = _without_features(trained)
    return Judged(network, history, answers, outputs, ENDED_EARLY, None, None, None, tuple(notes), True)


def _validated(plan: Plan, logits: NDArray[np.float32], epochs: int) -> Answers:
    """The answers to the validation images, with a note where no others say how good the best of several epochs is."""
    answers = Answers.judge(plan.dataset.val, logits, plan.dataset.labels, plan.costs)
    if plan.dataset.test or epochs < 2:
        return answers
    chosen = (
        f"These figures are of the best of {epochs} epochs, on the validation images that chose it, and therefore "
        "optimistic. Images in test/ would show how good the model is on others."
    )
    evaluation = answers.evaluation
    return replace(answers, evaluation=replace(evaluation, notes=(chosen, *evaluation.notes)))


def _figures_of(plan: Plan) -> str:
    return f"the figures are those of {plan.precision}, in which it was trained"


def _without_features(logits: NDArray[np.float32]) -> Outputs:
    return Outputs(logits, np.empty((len(logits), 0), np.float32))


class _Kept:
    """The crops of a few samples, copied as the batches of all of them pass."""

    def __init__(self, samples: Sequence[Sample], wanted: Sequence[Sample]) -> None:
        chosen = set(wanted)
        self._wanted = [sample in chosen for sample in samples]
        self._passed = 0
        self._crops: list[NDArray[np.uint8]] = []

    def look(self, crops: torch.Tensor) -> None:
        """At the next batch, N x S x S x 3 uint8."""
        here = self._wanted[self._passed : self._passed + len(crops)]
        self._crops += [crop.numpy().copy() for crop, wanted in zip(crops, here, strict=True) if wanted]
        self._passed += len(crops)

    @property
    def crops(self) -> NDArray[np.uint8]:
        """N x S x S x 3, in the samples' order."""
        return np.stack(self._crops)


class PixelStatistics:
    """Statistics of all crops, taken as their batches pass."""

    def __init__(self) -> None:
        self._rows: list[Statistics] = []

    def look(self, crops: torch.Tensor) -> None:
        """At the next batch, N x S x S x 3 uint8."""
        self._rows.append(measure_crops(crops.numpy()))

    @property
    def statistics(self) -> Statistics:
        """N x 13."""
        return np.concatenate(self._rows)


def golden_set(network: ResNet, crops: NDArray[np.uint8], config: ModelConfig, evidence: Evidence | None) -> Golden:
    """What the network says of a few crops.

    By it inference tells that weights and preprocessing are still those of the training, and what a faster way to run
    the network changes.

    Args:
        network: the one that is saved, in evaluation mode, on the CPU, in fp32.
        crops: of validation images, N x S x S x 3, N at least 1.
        config, evidence: of the network's model folder; None where it has no evidence.

    Raises:
        GoldenError: logits are not finite.
    """
    normalize = config.preprocessing.normalize
    with torch.inference_mode(), fixed_threads():
        # One by one, which is quick on a CPU and needs little memory at any size.
        logits = [network(normalize(torch.from_numpy(crop.copy())[None])) for crop in crops]
    return Golden(crops, torch.cat(logits).numpy(), config.facts(evidence))


def exact_outputs(
    network: nn.Module,
    plan: Plan,
    samples: Sequence[Sample],
    task: str,
    on_batch: Callable[[torch.Tensor], None],
) -> NDArray[np.float32]:
    """What a network gives in full fp32, which is how a model folder is run unless told otherwise: N x F.

    Args:
        network: gives rows of F; it is moved to the plan's device.
        task: what the progress bar says.
        on_batch: called with each batch of crops before it goes through the network; what it raises ends it.

    Raises:
        ReadError: an image cannot be read any more.
    """

    def batches() -> Iterator[Batch]:
        for crops, targets in tqdm(plan.images(samples), desc=task, unit="batch"):
            on_batch(crops)
            yield crops, targets

    return fp32_outputs(network, plan.start.preprocessing, batches(), plan.device)
