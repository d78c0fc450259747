"""The best network → its answers to the validation and the test images, in fp32, as inference gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import ResNet
from tqdm import tqdm
from typing_extensions import Self

from ..data.samples import ReadError, Sample
from ..forward import Normalize, on_device, outputs_of
from ..plan import Plan
from ..resnext.folder.golden import Golden
from ..resnext.folder.model_folder import ModelConfig
from ..resnext.machine.devices import full_fp32
from ..resnext.machine.threads import fixed_threads
from ..resnext.trust.evidence import Evidence
from .answers import Answers


@dataclass(frozen=True)
class Judged:
    """The best network and what it answers.

    Attributes:
        network: in evaluation mode, on the CPU, in fp32.
        history: a row for each epoch of the training.
        test: None where there are no test images, where they were not waited for, or where one cannot be read any more.
        hurried: training did not come to its end, and what takes long is not waited for.
        notes: what the user should know of the answers.
    """

    network: ResNet
    history: Sequence[Mapping[str, float]]
    validation: Answers
    test: Answers | None
    hurried: bool
    notes: tuple[str, ...]

    def at(self, temperature: float) -> Self:
        """The same, calibrated."""
        test = self.test.at(temperature) if self.test else None
        return replace(self, validation=self.validation.at(temperature), test=test)


def judge(
    plan: Plan, network: ResNet, trained: NDArray[np.float32], history: Sequence[Mapping[str, float]], hurried: bool
) -> Judged:
    """Let the network answer; the images of `test/`, which had no part in choosing it, for the first time.

    Args:
        network: in evaluation mode, on the CPU.
        trained: its logits on the validation images in its own epoch, N x C. They are taken where they were computed
            in fp32, in a hurry, and where an image cannot be read any more.
    """
    dataset = plan.dataset
    notes: list[str] = []
    test: NDArray[np.float32] | None = None
    figures = f"the figures are those of {plan.precision}, in which it was trained"
    as_inference = plan.precision == "fp32" and plan.device.type == "cpu" and not plan.parameters.caches_features
    if hurried:
        notes += [figures] if plan.precision != "fp32" else []
        notes += ["the images of test/ were not judged: training did not come to its end"] if dataset.test else []
    else:
        try:
            trained = trained if as_inference else exact_outputs(network, plan, dataset.val, "Final evaluation")
        except ReadError as error:
            notes.append(f"{figures}: {error}")
        try:
            test = exact_outputs(network, plan, dataset.test, "Test") if dataset.test else None
        except ReadError as error:
            notes.append(f"the images of test/ were not judged: {error}")
    return Judged(
        network.cpu(),
        history,
        Answers.judge(dataset.val, trained, dataset.labels, plan.costs),
        None if test is None else Answers.judge(dataset.test, test, dataset.labels, plan.costs),
        hurried,
        tuple(notes),
    )


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


def exact_outputs(network: nn.Module, plan: Plan, samples: Sequence[Sample], task: str) -> NDArray[np.float32]:
    """What a network gives in full fp32, which is how a model folder is run unless told otherwise: N x F.

    Args:
        network: gives rows of F; it is moved to the plan's device.
        task: what the progress bar says.

    Raises:
        ReadError: an image cannot be read any more.
    """
    whole = on_device(nn.Sequential(Normalize(plan.start.preprocessing), network), plan.device)
    with full_fp32():
        outputs, _ = outputs_of(whole, tqdm(plan.images(samples), desc=task, unit="batch"), plan.device, "fp32")
    return np.asarray(outputs.numpy())
