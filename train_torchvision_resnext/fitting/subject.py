"""What is trained: a network, and how its batches come."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..data.augmentation import Augmentation
from ..data.copies import Copies
from ..data.dataset import Sample
from ..data.loading import (
    WHOLE,
    Batch,
    FeatureBatches,
    Images,
    Loader,
    Part,
    ShuffledDraws,
    TrainingImages,
    evaluation_loader,
    places_of,
    training_loader,
)
from ..planning import AUDITED, Plan
from ..progress import Listener
from ..resnext.images.preprocessing import Preprocessing
from .features import outputs_of
from .initial_weights import split_backbone
from .ranks import ALONE, Ranks

FEATURES_READ = 0.5
"""Share of the progress bar at which features are computed, where they are."""


class Normalize(nn.Module):
    """`Preprocessing.normalize` with its constants on the device: to copy them there in each step would wait for it."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """N x H x W x 3 uint8 → N x 3 x H x W float32 in the memory format `channels_last`, normalized."""
        return batch.permute(0, 3, 1, 2).float().div_(255).sub_(self.mean).div_(self.std)


@dataclass(frozen=True)
class Subject:
    """What is trained: a network, and how its batches come.

    Attributes:
        network: on the device of the plan, as is `prepare`.
        prepare: a batch as it was loaded → the network's input.
        draws: must be told the epoch before each.
        begins: share of the progress bar at which its epochs begin.
    """

    network: nn.Module
    prepare: nn.Module
    training: Loader
    draws: ShuffledDraws
    validation: Loader
    begins: float


def make_subject(plan: Plan, listener: Listener, ranks: Ranks = ALONE) -> Subject:
    """Set up what the parameters ask for, as far as it is this process's part; features are computed here.

    Raises:
        StopRequestedError: the listener wants to stop.
    """
    parameters, network, preprocessing = plan.parameters, plan.start.network, plan.start.preprocessing
    if parameters.caches_features:
        return _features_subject(plan, listener, ranks)
    if parameters.feature_extract:
        network.requires_grad_(False)
        network.fc.requires_grad_(True)
    # Without augmentation training sees what inference sees.
    copies = _copies(plan) if parameters.augmentation != "none" else None
    images = TrainingImages(plan.dataset.train, Augmentation.of(parameters, preprocessing), copies)
    draws = _draws(plan)
    if ranks.count > 1 and plan.device.type == "cuda":
        # torch has it for GPUs only.
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    blended = bool(parameters.mixup or parameters.cutmix)
    return Subject(
        on_device(network, plan.device),
        Normalize(preprocessing).to(plan.device),
        training_loader(images, draws, parameters.batch_size, plan.workers, plan.device, ranks.part(blended)),
        draws,
        images_of(plan, plan.dataset.val, ranks.part()),
        AUDITED,
    )


def _features_subject(plan: Plan, listener: Listener, ranks: Ranks) -> Subject:
    """Only the classifier, on features that are computed here, once, by all processes for all."""
    parameters, draws = plan.parameters, _draws(plan)
    backbone, head = split_backbone(plan.start.network)
    network = on_device(nn.Sequential(Normalize(plan.start.preprocessing), backbone), plan.device)
    total = -(-len(plan.dataset.train) // parameters.batch_size) - (-len(plan.dataset.val) // parameters.batch_size)
    seen = 0

    def on_batch() -> None:
        nonlocal seen
        seen += 1
        listener.progress(AUDITED + (FEATURES_READ - AUDITED) * min(1.0, seen / total))
        ranks.check(listener)

    def features(samples: tuple[Sample, ...], task: str) -> Batch:
        loader = images_of(plan, samples, ranks.part())
        batches = tqdm(loader, desc=task, unit="batch", disable=not ranks.is_first)
        outputs = outputs_of(network, batches, plan.device, plan.precision, on_batch)
        return ranks.whole(outputs, places_of(loader))

    training = features(plan.dataset.train, "Features of the training images")
    validation = features(plan.dataset.val, "Features of the validation images")
    return Subject(
        head.to(plan.device),
        nn.Identity(),
        FeatureBatches(*training, parameters.batch_size, draws, ranks.part()),
        draws,
        FeatureBatches(*validation, max(1024, parameters.batch_size), part=ranks.part()),
        FEATURES_READ,
    )


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Moved there, its convolutions in the memory format that is quickest on GPUs and CPUs alike."""
    moved: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def set_training(network: nn.Module) -> None:
    """Training mode, but for what is not trained: that keeps its batch-norm statistics, too."""
    network.train()
    for child in network.modules():
        parameters = list(child.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            child.eval()


def _draws(plan: Plan) -> ShuffledDraws:
    parameters = plan.parameters
    targets = [sample.target for sample in plan.dataset.train]
    return ShuffledDraws(targets, parameters.batch_size, parameters.class_balance == "sampler", parameters.seed)


def images_of(plan: Plan, samples: Sequence[Sample], part: Part = WHOLE) -> DataLoader[Batch]:
    """As inference sees them, in their order."""
    images = Images(samples, plan.start.preprocessing, _copies(plan))
    return evaluation_loader(images, plan.parameters.batch_size, plan.workers, plan.device, part)


def _copies(plan: Plan) -> Copies | None:
    if not plan.parameters.image_cache:
        return None
    return Copies(plan.output_folder / ".images", plan.start.preprocessing)
