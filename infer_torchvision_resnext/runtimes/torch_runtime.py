"""Eager PyTorch, on the CPU or a GPU."""

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..resnext.architecture import Architecture
from ..resnext.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DeviceError(ValueError):
    """The device or precision asked for is not to be had on this machine."""


def resolve_device(device: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` → a device that exists. Raises: DeviceError."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        had = f"it has {count} GPUs, cuda:0 to cuda:{count - 1}" if count else "PyTorch finds no GPU here"
        raise DeviceError(f"device = {device!r}: not on this machine, {had}; set device to auto or cpu")
    return torch.device("cuda", index)


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` → the number format that is both quick and true on this device. Raises: DeviceError."""
    if precision == "auto":
        # Tensor cores came with compute capability 7.0; fp16 has eight times bf16's resolution.
        fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
        return "fp16" if fast else "fp32"
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision = 'fp16': needs a GPU, but the device is the CPU; set precision to auto or bf16")
    return precision


class TorchRuntime:
    """A network on a device, in a precision.

    Args:
        state: the weights; with fp32 on the CPU they are used where they are, otherwise copied.
    """

    def __init__(
        self,
        architecture: Architecture,
        state: dict[str, torch.Tensor],
        preprocessing: Preprocessing,
        device: str,
        precision: str,
    ) -> None:
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self._dtype = DTYPES[self.precision]
        self.preprocessing = preprocessing
        network = architecture.load(state).requires_grad_(False).to(self.device, self._dtype)
        self._network = network.to(memory_format=torch.channels_last)

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x H x W x 3 uint8, as `Preprocessing.crop` gives them → N x C logits in float32."""
        with torch.inference_mode():
            batch = self.preprocessing.normalise(torch.from_numpy(crops).to(self.device))
            logits = self._network(batch.to(self._dtype, memory_format=torch.channels_last))
            return np.asarray(logits.float().cpu().numpy())

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return {"name": "torch", "device": str(self.device), "device_name": name, "precision": self.precision}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory: on a GPU by its own error, on the CPU by the allocator's words."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate" in str(error)


def release_memory() -> None:
    """Give cached blocks back, so that a smaller batch can have them."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
