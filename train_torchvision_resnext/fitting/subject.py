"""What is trained: a network, and how its batches come."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.models import ResNet
from tqdm import tqdm

from ..data.loading import Batch, Features, Loading, ShuffledDraws, TrainingImages, places_of
from ..data.samples import Reader, Sample
from ..resnext.network.normalization import Normalize
from ..run.forward import on_device, outputs_of
from ..run.plan import Plan
from ..run.progress import AUDITED, FEATURES_READ, Listener
from .ranks import ALONE, Ranks

CPU = torch.device("cpu")


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
    training: DataLoader[Batch]
    draws: ShuffledDraws
    validation: DataLoader[Batch]
    begins: float


def make_subject(plan: Plan, listener: Listener, ranks: Ranks = ALONE) -> Subject:
    """Set up what the parameters ask for, as far as it is this process's part; features are computed here.

    Raises:
        StopRequestedError: the listener wants to stop.
    """
    parameters = plan.parameters
    targets = [sample.target for sample in plan.dataset.train]
    draws = ShuffledDraws(targets, parameters.batch_size, parameters.class_balance == "sampler", parameters.seed)
    if plan.caches_features:
        return _features_subject(plan, draws, listener, ranks)
    network: nn.Module = plan.start.network
    if parameters.feature_extract:
        network.requires_grad_(False)
        plan.start.network.fc.requires_grad_(True)
    if ranks.count > 1 and plan.device.type == "cuda":
        # torch has it for GPUs only.
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    blended = bool(plan.blend)
    return Subject(
        on_device(network, plan.device),
        Normalize(plan.start.preprocessing).to(plan.device),
        plan.loading(ranks.part(blended)).training(_training_images(plan), draws),
        draws,
        plan.images(plan.dataset.val, ranks.part()),
        AUDITED,
    )


def _training_images(plan: Plan) -> TrainingImages:
    # Without augmentation training sees what inference sees.
    reader = Reader(plan.start.preprocessing) if plan.parameters.augmentation == "none" else plan.reader
    return TrainingImages(plan.dataset.train, reader, plan.augmentation)


def _features_subject(plan: Plan, draws: ShuffledDraws, listener: Listener, ranks: Ranks) -> Subject:
    """Only the classifier, on features that are computed here, once, by all processes for all."""
    size, dataset = plan.parameters.batch_size, plan.dataset
    backbone, head = split_backbone(plan.start.network)
    network = on_device(nn.Sequential(Normalize(plan.start.preprocessing), backbone), plan.device)
    total = -(-len(dataset.train) // size) - (-len(dataset.val) // size)
    on_batch = listener.counting(AUDITED, FEATURES_READ, total, lambda: ranks.check(listener))

    def features(samples: Sequence[Sample], part: str) -> Features:
        loader = plan.images(samples, ranks.part())
        batches = tqdm(loader, desc=f"Features of the {part} images", unit="batch", disable=not ranks.is_first)
        outputs = outputs_of(network, batches, plan.device, plan.precision, on_batch)
        return Features(ranks.whole(outputs, places_of(loader)))

    training, validation = features(dataset.train, "training"), features(dataset.val, "validation")
    return Subject(
        head.to(plan.device),
        nn.Identity(),
        Loading(size, 0, CPU, ranks.part()).training(training, draws),
        draws,
        Loading(max(1024, size), 0, CPU, ranks.part()).evaluation(validation),
        FEATURES_READ,
    )


def split_backbone(network: ResNet) -> tuple[nn.Module, nn.Linear]:
    """The network's two parts: images → features, features → logits. The first shares the network's tensors."""
    head = network.fc
    if not isinstance(head, nn.Linear):
        raise TypeError(f"the classifier is a {type(head).__name__}, expected Linear")
    network.fc = nn.Identity()  # type: ignore[assignment]
    return network, head


def set_training(network: nn.Module) -> None:
    """Training mode, but for what is not trained: that keeps its batch-norm statistics, too."""
    network.train()
    for child in network.modules():
        parameters = list(child.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            child.eval()
