"""Samples → batches of uint8 crops, in an order that depends on the seed and the epoch alone."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from .augmentation import Augmentation, generator_of
from .samples import Reader, Sample

Batch = tuple[torch.Tensor, torch.Tensor]
"""N x H x W x 3 uint8 crops (or N x F float features), and N class indices."""

Draw = tuple[int, int]
"""Epoch, and the sample's place in the dataset."""

Row = TypeVar("Row")


class TrainingImages(Dataset[tuple[NDArray[np.uint8], int]]):
    """Training samples, augmented."""

    def __init__(self, samples: Sequence[Sample], reader: Reader, augmentation: Augmentation) -> None:
        self._samples = samples
        self._reader = reader
        self._augmentation = augmentation

    def __getitem__(self, draw: Draw) -> tuple[NDArray[np.uint8], int]:
        epoch, index = draw
        sample = self._samples[index]
        image, shrunk = self._reader.read(sample), self._reader.factor(sample)
        return self._augmentation.crop(image, epoch, index, shrunk), sample.target


class Images(Dataset[tuple[NDArray[np.uint8], int]]):
    """Samples as inference sees them."""

    def __init__(self, samples: Sequence[Sample], reader: Reader) -> None:
        self._samples = samples
        self._reader = reader

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        sample = self._samples[index]
        return self._reader.crop(sample), sample.target


class Features(Dataset[tuple[NDArray[np.float32], int]]):
    """Features that were computed before, a batch at a time.

    Args:
        rows: N x F, float32, and N class indices.
    """

    def __init__(self, rows: Batch) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows[1])

    def __getitems__(self, places: Sequence[int] | Sequence[Draw]) -> Batch:
        """Called by torch in the place of as many calls of `__getitem__`."""
        order = torch.tensor([place if isinstance(place, int) else place[1] for place in places])
        features, targets = self._rows
        return features[order], targets[order]


class ShuffledDraws(Sampler[Draw]):
    """Every training sample once an epoch, in another order each time; or drawn by weight, with replacement.

    Args:
        targets: class index of each sample.
        balanced: draw as many of each class, on average.
    """

    def __init__(self, targets: Sequence[int], batch_size: int, balanced: bool, seed: int) -> None:
        self._targets = np.asarray(targets)
        self._balanced = balanced
        self._seed = seed
        # Batch normalization cannot learn from a single image: a last batch of one waits for another epoch.
        lonely = len(targets) > 1 and len(targets) % batch_size == 1
        self._length = len(targets) - 1 if lonely else len(targets)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def order(self) -> NDArray[np.int64]:
        """Places of the samples in this epoch."""
        draw = generator_of(self._seed, self.epoch)
        count = len(self._targets)
        if self._balanced:
            weights = 1 / np.bincount(self._targets)[self._targets]
            return draw.choice(count, self._length, p=weights / weights.sum())
        return draw.permutation(count)[: self._length]

    def __iter__(self) -> Iterator[Draw]:
        yield from ((self.epoch, int(index)) for index in self.order())


@dataclass(frozen=True)
class Part:
    """What one of several processes takes of each batch; all of it where there is only one.

    Attributes:
        after_another: each part is led by the image before it, the first one by the last of the batch.
    """

    rank: int = 0
    count: int = 1
    after_another: bool = False

    def of(self, batch: Sequence[Row]) -> Sequence[Row]:
        """In the batch's order. Where there is nothing left to take, its first two, which another process answers for.

        Parts are of two images or more, for batch normalization cannot learn from one.
        """
        if self.count == 1:
            return batch
        begin, end = self._bounds(len(batch)) if self.size(len(batch)) else (0, min(2, len(batch)))
        lead = [batch[begin - 1]] if self.after_another else []
        return [*lead, *(batch[place] for place in range(begin, end))]

    def size(self, total: int) -> int:
        """How many of a batch of `total` images this process answers for."""
        begin, end = self._bounds(total)
        return end - begin

    def _bounds(self, total: int) -> tuple[int, int]:
        taking = max(1, min(self.count, total // 2))
        begin, end = (total * min(rank, taking) // taking for rank in (self.rank, self.rank + 1))
        return begin, end


WHOLE = Part()


class PartBatches(BatchSampler):
    """Batches, of each of which one process takes its part."""

    def __init__(self, sampler: "Sampler[Draw] | range", batch_size: int, part: Part) -> None:
        # torch's types know indices that are integers only.
        super().__init__(sampler, batch_size, drop_last=False)  # type: ignore[arg-type]
        self._part = part

    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            yield list(self._part.of(batch))


def places_of(loader: DataLoader[Batch]) -> list[int]:
    """Which images an evaluation loader gives, in its order."""
    return [int(place) for batch in loader.batch_sampler or () for place in batch]


@dataclass(frozen=True)
class Loading:
    """How batches are loaded.

    Attributes:
        batch_size: of all processes together.
        workers: processes that load images; 0 = this one.
        device: that they are for.
        part: what this process takes of each batch.
    """

    batch_size: int
    workers: int
    device: torch.device
    part: Part = WHOLE

    def training(self, images: TrainingImages | Features, draws: ShuffledDraws) -> DataLoader[Batch]:
        """As they are drawn."""
        return self._loader(images, draws)

    def evaluation(self, images: Images | Features) -> DataLoader[Batch]:
        """In their order."""
        return self._loader(images, range(len(images)))

    def _loader(self, images: Dataset[Any], order: Sampler[Draw] | range) -> DataLoader[Batch]:
        return DataLoader(
            images,
            batch_sampler=PartBatches(order, self.batch_size, self.part),
            num_workers=self.workers,
            collate_fn=(lambda batch: batch) if isinstance(images, Features) else _collate,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.workers > 0,
        )


def _collate(rows: Sequence[tuple[NDArray[np.uint8], int]]) -> Batch:
    crops, targets = zip(*rows, strict=True)
    return torch.from_numpy(np.stack(crops)), torch.tensor(targets)


def worker_count(wanted: int, device: torch.device, cores: int) -> int:
    """-1 → none on a CPU, which has better things to do than to feed itself; up to eight for a GPU.

    Starting workers on Windows and macOS runs the caller's script again, so there they have to be asked for.
    """
    if wanted >= 0:
        return wanted
    return min(8, max(1, cores - 1)) if device.type == "cuda" and sys.platform == "linux" else 0
