"""What is settled before the first step of training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision.models import ResNet

from ..data.augmentation import Augmentation, Blend
from ..data.copies import Copies
from ..data.dataset import Dataset
from ..data.loading import WHOLE, Batch, Images, Loading, Part
from ..data.samples import Reader, Sample
from ..parameters.task import Parameters
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.network.architecture import Architecture
from ..resnext.trust.costs import Costs


@dataclass(frozen=True)
class Start:
    """A network ready to be trained.

    Attributes:
        architecture: of the network; that of the weights, where they are the user's own.
        network: with one output a label, in training mode.
        preprocessing: how its images are to be prepared.
        notes: what the user should know of the start.
    """

    architecture: Architecture
    network: ResNet
    preprocessing: Preprocessing
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is trained on what, where and how.

    Attributes:
        precision: fp32, bf16 or fp16.
        workers: processes that load images, of all ranks of a machine together.
        processes: that train together, each on a device of its own or on its part of the CPU.
        costs: of wrong answers; None where nobody said.
        notes: what the user should know.
    """

    parameters: Parameters
    dataset: Dataset
    start: Start
    device: torch.device
    precision: str
    workers: int
    output_folder: Path
    notes: tuple[str, ...]
    processes: int = 1
    costs: Costs | None = None

    @property
    def model_name(self) -> str:
        """As it was asked for, or that of the architecture of one's own."""
        asked, found = self.parameters.model_name, self.start.architecture
        return asked if found == Architecture.from_name(asked) else found.name

    @property
    def augmentation(self) -> Augmentation:
        parameters = self.parameters
        kind, flip, erasing = parameters.augmentation, parameters.horizontal_flip, parameters.random_erasing
        return Augmentation(kind, self.start.preprocessing, flip, erasing, parameters.seed)

    @property
    def blend(self) -> Blend:
        """Mixup and CutMix."""
        parameters = self.parameters
        return Blend(parameters.mixup, parameters.cutmix, len(self.dataset.labels), parameters.seed)

    @property
    def caches_features(self) -> bool:
        """Whether every epoch shows the backbone the same pixels, so that its features need computing only once."""
        return self.parameters.feature_extract and not (self.augmentation.changes_pixels or self.blend)

    @cached_property
    def reader(self) -> Reader:
        """Of the images, by way of copies of large photos where these are wanted."""
        preprocessing = self.start.preprocessing
        wanted = self.parameters.image_cache
        return Copies(preprocessing, self.output_folder / ".images") if wanted else Reader(preprocessing)

    def loading(self, part: Part = WHOLE) -> Loading:
        """How this process's part of each batch is loaded."""
        return Loading(self.parameters.batch_size, self.workers, self.device, part)

    def images(self, samples: Sequence[Sample], part: Part = WHOLE) -> DataLoader[Batch]:
        """As inference sees them, in their order."""
        return self.loading(part).evaluation(Images(samples, self.reader))

    def noted(self, *notes: str) -> "Plan":
        """The same, with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def of_rank(self, local_rank: int, local_count: int) -> "Plan":
        """The same for one of so many processes of a machine."""
        device = torch.device("cuda", local_rank) if self.device.type == "cuda" else self.device
        return replace(self, device=device, workers=-(-self.workers // local_count))
