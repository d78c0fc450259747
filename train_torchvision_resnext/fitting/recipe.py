"""How the weights change: learning rate, optimizer, running average, weights of the classes. Of torch alone."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..parameters import Parameters


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
    """Over what is to be trained; biases and batch norms are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": parameters.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if parameters.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=parameters.learning_rate)
    momentum = parameters.momentum
    return torch.optim.SGD(groups, lr=parameters.learning_rate, momentum=momentum, nesterov=momentum > 0)


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A running average of weights and batch-norm statistics, which forgets its random beginning quickly."""

    def average(mean: torch.Tensor, value: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        return kept * mean + (1 - kept) * value

    return AveragedModel(network, avg_fn=average, use_buffers=True)


def class_weights(counts: Sequence[int], balance: str) -> torch.Tensor | None:
    """Weights of the loss that make every class count alike, 1 on average over the images; None for no weights."""
    if balance != "weighted":
        return None
    numbers = torch.tensor(counts, dtype=torch.float32)
    return numbers.sum() / (len(counts) * numbers)
