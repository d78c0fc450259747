"""How the weights change: learning rate, optimizer, running average, weights of the classes. Of torch alone."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn

from ..parameters.task import Parameters


class Schedule:
    """Factor of the learning rate at each step: a linear rise, then a cosine to 0 or nothing."""

    def __init__(self, total_steps: int, parameters: Parameters) -> None:
        self._total = max(1, total_steps)
        per_epoch = total_steps / parameters.epochs
        # A training too short for its warm-up would otherwise never reach its learning rate.
        self._warm_up = min(parameters.warmup_epochs * per_epoch, total_steps / 2)
        self._cosine = parameters.scheduler == "cosine"

    def __call__(self, step: int) -> float:
        if step < self._warm_up:
            return (step + 1) / (self._warm_up + 1)
        if not self._cosine:
            return 1.0
        done = (step - self._warm_up) / (self._total - self._warm_up)
        return (1 + math.cos(math.pi * min(1.0, done))) / 2


def make_optimizer(network: nn.Module, parameters: Parameters) -> torch.optim.Optimizer:
    """Over what is to be trained, on the device where it lies by now; biases and batch norms are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": parameters.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    # One kernel for all weights; with fp16 it also skips steps that overflowed without asking the GPU whether they did.
    on_gpu = all(parameter.is_cuda for parameter in trained)
    if parameters.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=parameters.learning_rate, fused=on_gpu, foreach=not on_gpu)
    momentum = parameters.momentum
    return torch.optim.SGD(
        groups,
        lr=parameters.learning_rate,
        momentum=momentum,
        nesterov=momentum > 0,
        fused=on_gpu,
        foreach=not on_gpu,
    )


class RunningAverage:
    """A running average of weights and batch-norm statistics, which forgets its random beginning quickly.

    torch's `AveragedModel` counts on the device and reads its count there for every tensor.

    Attributes:
        module: the averaged network; its counters are the network's own.
        count: steps averaged so far.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.count = 0
        self._decay = decay
        pairs = list(zip(_tensors(self.module), _tensors(network), strict=True))
        self._floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network as it is after a step."""
        kept = min(self._decay, (1 + self.count) / (10 + self.count)) if self.count else 0.0
        means, values = zip(*self._floating, strict=True)
        torch._foreach_lerp_(means, values, 1 - kept)
        if self._counters:
            counters, counts = zip(*self._counters, strict=True)
            torch._foreach_copy_(counters, counts)
        self.count += 1


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


def class_weights(counts: Sequence[int], balance: str) -> torch.Tensor | None:
    """Weights of the loss that make every class count alike, 1 on average over the images; None for no weights."""
    if balance != "weighted":
        return None
    numbers = torch.tensor(counts, dtype=torch.float32)
    return numbers.sum() / (len(counts) * numbers)
