"""What is trained: a network, and how its batches come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader

from ..data.augmentation import Augmentation
from ..data.copies import Copies
from ..data.dataset import Sample
from ..data.loading import (
    Batch,
    FeatureBatches,
    Images,
    Loader,
    ShuffledDraws,
    TrainingImages,
    evaluation_loader,
    training_loader,
)
from ..planning import AUDITED, Plan
from .epochs import Listener
from .features import Runner
from .initial_weights import split_backbone

FEATURES_READ = 0.5
"""Share of the progress bar at which features are computed, where they are."""


@dataclass(frozen=True)
class Subject:
    """What is trained: a network, and how its batches come.

    Attributes:
        prepare: a batch as it was loaded → the network's input.
        begins: share of the progress bar at which its epochs begin.
    """

    network: nn.Module
    prepare: Callable[[torch.Tensor], torch.Tensor]
    training: Loader
    validation: Loader
    begins: float


def make_subject(plan: Plan, listener: Listener) -> Subject:
    """Set up what the parameters ask for; features are computed here.

    Raises:
        StopRequestedError: the listener wants to stop.
    """
    parameters, network, preprocessing = plan.parameters, plan.start.network, plan.start.preprocessing
    if parameters.caches_features:
        return _features_subject(plan, listener)
    if parameters.feature_extract:
        network.requires_grad_(False)
        network.fc.requires_grad_(True)
    # Without augmentation training sees what inference sees.
    small = parameters.image_cache and parameters.augmentation != "none"
    copies = Copies(plan.output_folder / ".images", preprocessing) if small else None
    images = TrainingImages(plan.dataset.train, Augmentation.of(parameters, preprocessing), copies)
    return Subject(
        network.to(memory_format=torch.channels_last),
        preprocessing.normalize,
        training_loader(images, _draws(plan), parameters.batch_size, plan.workers, plan.device),
        validation_images(plan),
        AUDITED,
    )


def _features_subject(plan: Plan, listener: Listener) -> Subject:
    """Only the classifier, on features that are computed here, once."""
    parameters, preprocessing = plan.parameters, plan.start.preprocessing
    backbone, head = split_backbone(plan.start.network)
    total = -(-len(plan.dataset.train) // parameters.batch_size) - (-len(plan.dataset.val) // parameters.batch_size)
    seen = 0

    def on_batch() -> None:
        nonlocal seen
        seen += 1
        listener.progress(AUDITED + (FEATURES_READ - AUDITED) * min(1.0, seen / total))
        listener.check()

    def features(samples: tuple[Sample, ...], task: str) -> Batch:
        images = evaluation_loader(Images(samples, preprocessing), parameters.batch_size, plan.workers, plan.device)
        return Runner(preprocessing, plan.device, plan.precision).run(backbone, images, task, on_batch)

    training = features(plan.dataset.train, "Features of the training images")
    validation = features(plan.dataset.val, "Features of the validation images")
    return Subject(
        head,
        _as_it_is,
        FeatureBatches(*training, parameters.batch_size, _draws(plan)),
        FeatureBatches(*validation, max(1024, parameters.batch_size)),
        FEATURES_READ,
    )


def _as_it_is(batch: torch.Tensor) -> torch.Tensor:
    return batch


def _draws(plan: Plan) -> ShuffledDraws:
    parameters = plan.parameters
    targets = [sample.target for sample in plan.dataset.train]
    return ShuffledDraws(targets, parameters.batch_size, parameters.class_balance == "sampler", parameters.seed)


def validation_images(plan: Plan) -> DataLoader[Batch]:
    """As inference sees them, in the dataset's order."""
    return images_of(plan, plan.dataset.val)


def images_of(plan: Plan, samples: Sequence[Sample]) -> DataLoader[Batch]:
    """As inference sees them, in their order."""
    images = Images(samples, plan.start.preprocessing)
    return evaluation_loader(images, plan.parameters.batch_size, plan.workers, plan.device)
