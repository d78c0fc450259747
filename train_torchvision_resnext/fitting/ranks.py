"""Several processes train one network: which images of each batch are whose, and what they tell one another.

Every process, a rank of torch's, takes its part of each batch. Losses are weighted by the parts, gradients summed by
torch's `DistributedDataParallel`, so that a step is that of the whole batch. All decide to end by the same numbers.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ..data.loading import Batch, Part
from ..run.progress import Listener, StopRequestedError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train; alone unless told otherwise, and then nothing is exchanged."""

    rank: int = 0
    count: int = 1

    def __str__(self) -> str:
        """What a sentence on what befell this process begins with."""
        return "" if self.count == 1 else f"rank {self.rank}: "

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def part(self, after_another: bool = False) -> Part:
        """What this process takes of each batch.

        Args:
            after_another: each part is led by the image before it, which it is blended with.
        """
        return Part(self.rank, self.count, after_another and self.count > 1)

    def together(self, network: nn.Module) -> nn.Module:
        """The network to call in training: its gradients will be those of all processes."""
        if self.count == 1:
            return network
        with warnings.catch_warnings():
            # torch 2.14 renames the argument. Without it the first rank's statistics would be everyone's.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(network, broadcast_buffers=False)

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """Within, gradients of what `together` gave are only collected, for a step that is not complete yet."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def factor(self, weight: float, total: float | None = None) -> float:
        """By what to multiply the mean loss of this part, so that the mean of the gradients is that of the batch.

        Args:
            weight: of this part in its mean; 0 for images that another process answers for.
            total: of the whole batch, where it is known.
        """
        if total is None:
            weights = torch.tensor(weight, dtype=torch.float64)
            dist.all_reduce(weights)
            total = float(weights)
        return self.count * weight / total

    def sum(self, losses: torch.Tensor) -> torch.Tensor:
        """The parts' losses, added up."""
        if self.count == 1:
            return losses
        total = losses / self.count
        dist.all_reduce(total)
        return total

    def those(self, concerned: bool) -> str:
        """What a sentence on some of the processes begins with, as `str` is for this one.

        Args:
            concerned: whether this one is among them.
        """
        if self.count == 1:
            return ""
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, concerned)
        return ", ".join(f"rank {rank}" for rank, each in enumerate(found) if each) + ": "

    def check(self, listener: Listener) -> None:
        """Raises: StopRequestedError, in all processes as soon as one is to stop."""
        if self.count == 1:
            listener.check()
            return
        wanted = torch.tensor(int(listener.stop_requested()))
        dist.all_reduce(wanted)
        if wanted:
            raise StopRequestedError

    def whole(self, outputs: Batch, places: Sequence[int]) -> Batch:
        """The outputs of all processes, in the order of the images.

        Args:
            outputs: of this process's parts.
            places: which images these are.
        """
        if self.count == 1:
            return outputs
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, (torch.tensor(places), *outputs))
        order, values, targets = (torch.cat(parts) for parts in zip(*found, strict=True))
        # An image that two processes looked at is taken once.
        count = int(order.max()) + 1
        first = torch.empty(count, dtype=torch.int64).scatter_(0, order, torch.arange(len(order)))
        return values[first], targets[first]

    def from_first(self, value: Any) -> Any:
        """What the first rank calls this with."""
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def average_statistics(self, network: nn.Module, *others: nn.Module) -> None:
        """Let batch norms that learn have the mean of all processes' statistics, in these networks of one structure."""
        if self.count == 1:
            return
        for modules in zip(network.modules(), *(other.modules() for other in others), strict=True):
            if not isinstance(modules[0], _BatchNorm) or not modules[0].training:
                continue
            for statistics in (each for norm in modules for each in norm.buffers() if each.is_floating_point()):
                dist.all_reduce(statistics.div_(self.count))


ALONE = Ranks()


@contextmanager
def joined(device_type: str, init_method: str) -> Iterator[Ranks]:
    """Meet the other processes that torchrun started, and leave them when all has gone well.

    Args:
        device_type: cpu or cuda.
        init_method: where they meet: `env://`, or the URL of a file.
    """
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
    # As long as the first rank may take to look through the images; one that has died is noticed at once.
    dist.init_process_group(backend, init_method, rank=rank, world_size=count, timeout=timedelta(days=1))
    yield Ranks(rank, count)
    dist.destroy_process_group()
