"""Run images through a network once, without learning: for the features of a frozen backbone, or for its answers."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.loading import Batch
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.machine.devices import full_fp32
from ..resnext.network.normalization import Normalize

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Moved there, its convolutions in the memory format that is quickest on GPUs and CPUs alike."""
    moved: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Lets the inner layers compute in `precision`: fp32, bf16 or fp16."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def outputs_of(
    network: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    precision: str,
    on_batch: Callable[[], None] = lambda: None,
) -> Batch:
    """What a network answers to every image, in the loader's order.

    Args:
        network: takes batches as they are loaded, gives N x F; on the device. It is put into evaluation mode.
        on_batch: called after each batch; what it raises ends it.

    Returns:
        N x F float32 and N class indices, on the CPU.
    """
    network.eval()
    outputs, targets = [], []
    with torch.inference_mode(), autocast(device, precision):
        for images, indices in batches:
            outputs.append(network(images.to(device, non_blocking=True)).float().cpu())
            targets.append(indices)
            on_batch()
    # Tensors of inference mode cannot be trained on; a copy made outside of it can.
    return torch.cat(outputs).clone(), torch.cat(targets).clone()


def fp32_outputs(
    network: nn.Module, preprocessing: Preprocessing, batches: Iterable[Batch], device: torch.device
) -> NDArray[np.float32]:
    """What a network gives in full fp32, which is how a model folder is run unless told otherwise: N x F.

    Args:
        network: gives rows of F; it is moved to the device.
        batches: as they are loaded; what they raise ends it.
    """
    normalized = on_device(nn.Sequential(Normalize(preprocessing), network), device)
    with full_fp32():
        outputs, _ = outputs_of(normalized, batches, device, "fp32")
    return np.asarray(outputs.numpy())
