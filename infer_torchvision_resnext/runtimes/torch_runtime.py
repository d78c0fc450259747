"""Eager PyTorch, on the CPU or a GPU."""

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from ..resnext.preprocessing import Preprocessing
from ..resnext.threads import fixed_threads
from ..weights import Model
from .runtime import DeviceError

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    if precision not in DTYPES:
        raise DeviceError(f"precision = {precision!r}: needs runtime openvino; set runtime to auto or openvino")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision = 'fp16': needs a GPU, but the device is the CPU; set precision to auto or bf16")
    return precision


class TorchRuntime:
    """A network on a device, in a precision. Weights in fp32 on the CPU are used where they are, otherwise copied."""

    def __init__(
        self, network: torch.nn.Module, preprocessing: Preprocessing, device: torch.device, precision: str
    ) -> None:
        self.device = device
        self.precision = precision
        self._preprocessing = preprocessing
        self._dtype = DTYPES[precision]
        network = network.requires_grad_(False).to(device, self._dtype)
        self._network: Any = network.to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, model: Model, device: str, precision: str, threads: int) -> Self:
        """Put the network where it runs.

        Args:
            threads: of the CPU, for all of torch in this process; 0 leaves them as they are.

        Raises:
            DeviceError: the device or precision is not to be had here.
        """
        found = resolve_device(device)
        precision = resolve_precision(precision, found)
        if threads:
            torch.set_num_threads(threads)
        return cls(model.architecture.load(model.state), model.preprocessing, found, precision)

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S → N x C logits in float32. On a GPU the pixels go there as uint8."""
        with torch.inference_mode(), fixed_threads():
            batch = self._preprocessing.normalise(torch.from_numpy(crops).to(self.device))
            logits = self._network(batch.to(self._dtype, memory_format=torch.channels_last))
            return np.asarray(logits.float().cpu().numpy())

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return {"name": "torch", "device": str(self.device), "device_name": name, "precision": self.precision}

    def is_out_of_memory(self, error: BaseException) -> bool:
        """On a GPU torch has an error of its own, on the CPU only the allocator's words."""
        return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate" in str(error)

    def release_memory(self) -> None:
        """Give cached blocks back, so that a smaller batch can have them."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
