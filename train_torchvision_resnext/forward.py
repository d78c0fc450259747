"""Run images through a network once, without learning: for the features of a frozen backbone, or for its answers."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from .data.loading import Batch

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
