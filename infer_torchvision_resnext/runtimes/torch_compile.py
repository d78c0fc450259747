"""PyTorch's compiler: slow to start, quicker than eager PyTorch from then on. On a CPU it needs a C++ compiler."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from ..model.model import Model
from ..resnext.machine.devices import DeviceError, cannot_compile
from .torch_runtime import TorchRuntime


class TorchCompileRuntime(TorchRuntime):
    """A network compiled for the first size of batch that it meets, and once more for all others."""

    @classmethod
    def load(cls, model: Model, device: str, precision: str, threads: int) -> Self:
        """As `TorchRuntime.load`; compiling waits for the first batch."""
        runtime = super().load(model, device, precision, threads)
        # Not in "reduce-overhead": its CUDA graphs belong to the thread that compiled, and hosts run in others.
        runtime._network = torch.compile(runtime._network)
        return runtime

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `Runtime.run`, for any N and S.

        Raises:
            DeviceError: it cannot compile.
        """
        try:
            return super().run(crops)
        except torch._dynamo.exc.TorchDynamoException as error:
            # Also raised where a GPU is too old for Triton, or Triton is missing.
            raise DeviceError(f"runtime = 'torch_compile': {cannot_compile(error)}, or set runtime to auto") from error

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        return {**super().describe(), "name": "torch_compile"}
