"""What every runtime is, and what may go wrong with each."""

import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class DeviceError(ValueError):
    """The device, runtime or precision asked for is not to be had on this machine."""


class Runtime(Protocol):
    """A network that is ready to run."""

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, as `Preprocessing.crop` gives them, any N and S → N x C logits in float32."""

    def describe(self) -> dict[str, Any]:
        """For output and logs: `name`, `device`, `device_name`, `precision`."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether a smaller batch may succeed where this error was raised."""

    def release_memory(self) -> None:
        """Give memory back that is only kept for speed."""


@dataclass(frozen=True)
class Configuration:
    """A way to run a network: `openvino` in `bf16`."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


REFERENCE = Configuration("torch", "fp32")
"""What every other configuration is measured against."""

PACKAGES = {"torch": "torch", "torch_compile": "torch", "openvino": "openvino", "onnxruntime": "onnxruntime"}
"""Runtimes → the package that each needs."""


def core_count(threads: int) -> int:
    """Threads to use: as many as asked for; 0 = the cores that this process may use."""
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
