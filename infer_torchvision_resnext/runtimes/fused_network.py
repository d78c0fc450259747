"""A folded ResNeXt whose convolutions add the shortcut and cut off below zero in the same kernel.

About 60 kernels in the place of 170: what lies between convolutions waits for the GPU's memory, and costs as much as
they do. cuDNN has such kernels; a layer for which it has none, or a slower one, stays as it is.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer
from torchvision.models.resnet import Bottleneck

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.network.normalization import Normalize
from .folding import fold_batch_norms

REPEATS = 5
"""Runs of a layer by which its two forms are compared."""


class FusedNetwork(nn.Module):
    """uint8 crops N x S x S x 3 → what the classifier tells, N x K in float32, both on the network's device.

    Pooling and the classifier are in fp32, whatever the rest is in: nearly free, and most of fp16's error arises there.

    Args:
        network: one that answers in rows, in evaluation mode and in fp32; its tensors are used.
        dtype: of the convolutions.
    """

    def __init__(self, network: Any, preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        fold_batch_norms(network)
        self._head = network.head.to(device)
        network.head = nn.Identity()
        network.to(device, dtype).to(memory_format=torch.channels_last)
        stages = (network.layer1, network.layer2, network.layer3, network.layer4)
        blocks: list[Any] = [block for stage in stages if isinstance(stage, nn.Sequential) for block in stage]
        self._features = nn.Sequential(_FusedConvolution(network.conv1), network.maxpool, *map(_FusedBlock, blocks))
        # On the device beforehand: a CUDA graph cannot fetch them from the CPU.
        self._normalize = Normalize(preprocessing).to(device)
        self._dtype = dtype

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        features = self._features(self._normalize(crops).to(self._dtype, memory_format=torch.channels_last))
        told: torch.Tensor = self._head(features.float())
        return told


class _FusedBlock(nn.Module):
    """A `Bottleneck` as torchvision has it."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self._first, self._second, self._third = map(_FusedConvolution, (block.conv1, block.conv2, block.conv3))
        self._shortcut = block.downsample or nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self._third(self._second(self._first(features)), self._shortcut(features))
        return added


class _FusedConvolution(nn.Module):
    """relu(convolution(x)) or relu(convolution(x) + shortcut), in one kernel or in steps, as its first run tells."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self._convolution = convolution
        self._one_kernel: bool | None = None

    def forward(self, features: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
        if self._one_kernel is None:
            ways = (partial(way, features, shortcut) for way in (self._fused, self._stepwise))
            self._one_kernel = _is_quicker(*ways)
        return self._fused(features, shortcut) if self._one_kernel else self._stepwise(features, shortcut)

    def _fused(self, features: torch.Tensor, shortcut: torch.Tensor | None) -> torch.Tensor:
        of = self._convolution
        form: Any = (of.stride, of.padding, of.dilation, of.groups)
        if shortcut is None:
            return torch.cudnn_convolution_relu(features, of.weight, of.bias, *form)
        return torch.cudnn_convolution_add_relu(features, of.weight, shortcut, 1.0, of.bias, *form)

    def _stepwise(self, features: torch.Tensor, shortcut: torch.Tensor | None) -> torch.Tensor:
        found: torch.Tensor = self._convolution(features)
        return (found if shortcut is None else found.add_(shortcut)).relu_()


def _is_quicker(one: Callable[[], object], other: Callable[[], object]) -> bool:
    try:
        return _seconds(one) < _seconds(other)
    except RuntimeError:
        # cuDNN has no such kernel. Where neither works, running it will say why.
        return False


def _seconds(work: Callable[[], object]) -> float:
    """Of one run, the GPU's work included."""
    return Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads()).timeit(REPEATS).mean
