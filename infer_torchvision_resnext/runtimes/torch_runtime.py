"""Eager PyTorch: on the CPU, and what `cuda_runtime.py` adds to on a GPU."""

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from ..model.model import Model
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.machine.devices import (
    DeviceError,
    first_line,
    full_fp32,
    memory_watched,
    quick_formats,
    resolve_device,
    resolve_precision,
)
from ..resnext.machine.threads import fixed_threads
from .folding import fold_batch_norms
from .runtime import QUICK, Runtime

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_threads_at_first = torch.get_num_threads()


class TorchRuntime(Runtime):
    """A network on a device, in a precision. Weights in fp32 on the CPU are used where they are, otherwise copied."""

    def __init__(
        self, network: torch.nn.Module, preprocessing: Preprocessing, device: torch.device, precision: str
    ) -> None:
        self.device = device
        self.precision = precision
        self._preprocessing = preprocessing
        self._dtype = DTYPES[precision]
        self._network: Any = self._placed(network.requires_grad_(False).float())

    def _placed(self, network: Any) -> torch.nn.Module:
        """The network where it runs."""
        if self.precision != "fp32" or self.device.type != "cpu":
            # In fp32 on the CPU this is the reference, and computes what torchvision computes.
            fold_batch_norms(network)
        placed: torch.nn.Module = network.to(self.device, self._dtype).to(memory_format=torch.channels_last)
        return placed

    @classmethod
    def load(cls, model: Model, device: str, precision: str, threads: int) -> Self:
        """Put the network where it runs.

        Args:
            threads: of the CPU, for all of torch in this process; 0 = what torch began with.

        Raises:
            DeviceError: the device or precision cannot be used here.
        """
        found = resolve_device(device)
        precision = resolve_precision(precision, found, QUICK)
        if precision == "bf16" and precision not in quick_formats(found):
            # Emulated it would be slower than fp32 and further from it.
            precision = "fp32"
        if precision not in DTYPES:
            raise DeviceError(f"precision = {precision!r}: needs runtime openvino; set runtime to auto or openvino")
        threads = threads or _threads_at_first
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return cls(model.network(), model.preprocessing, found, precision)

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `Runtime.run`, for any N and S."""
        with torch.inference_mode(), fixed_threads(), full_fp32(), memory_watched():
            return np.asarray(self._rows(self._sent(crops)).cpu().numpy())

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return {"name": "torch", "device": str(self.device), "device_name": name, "precision": self.precision}

    def release_memory(self) -> None:
        """Give cached blocks back, so that a smaller batch can have them."""
        if self.device.type == "cuda":
            try:
                torch.cuda.empty_cache()
            except RuntimeError as error:
                # What failed before is what counts: a GPU that has failed for good gives nothing back either.
                logger.warning("the GPU gives no memory back: %s", first_line(error))

    def _sent(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """A copy on the device. To a GPU it goes from pinned memory, while the CPU prepares the next."""
        copy = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        copy.numpy()[...] = pixels
        return copy.to(self.device, non_blocking=True)

    def _rows(self, crops: torch.Tensor) -> torch.Tensor:
        """N x S x S x 3 uint8 → N x (C + F) float32, both on the network's device."""
        pixels = self._preprocessing.normalize(crops)
        rows: torch.Tensor = self._network(pixels.to(self._dtype, memory_format=torch.channels_last))
        return rows.float()
