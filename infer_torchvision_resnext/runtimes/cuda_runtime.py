"""PyTorch on a GPU: pixels go there as uint8, and are resized and normalized there.

All but pinned memory, cuDNN's fused kernels and CUDA graphs is written for any device, and tested on the CPU.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from ..model.model import Model
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage
from ..resnext.machine.devices import full_fp32, memory_watched
from ..resnext.machine.threads import fixed_threads
from .cuda_graphs import Replayed
from .fused_network import FusedNetwork
from .runtime import run_in_parts
from .torch_crop import crop, filter_weights
from .torch_runtime import DTYPES, TorchRuntime

SET_UP = (8, 1)
"""Batches that run before the first answer: fused kernels are timed in the first, a single image is most frequent."""


class CudaRuntime(TorchRuntime):
    """A network on a GPU: channels last, fused convolutions, small batches as CUDA graphs."""

    def __init__(
        self, network: torch.nn.Module, preprocessing: Preprocessing, device: torch.device, precision: str
    ) -> None:
        super().__init__(network, preprocessing, device, precision)
        self._replayed = Replayed(self._network, device)
        # Of 16 sizes of frames, for rows and for columns.
        self._weigh = lru_cache(32)(filter_weights)

    @classmethod
    def load(cls, model: Model, device: str, precision: str, threads: int) -> Self:
        """As `TorchRuntime.load`, and run once: a GPU that cannot run it raises RuntimeError here, not at a frame."""
        runtime = super().load(model, device, precision, threads)
        side = model.preprocessing.crop_size
        frame = np.zeros((2 * side, 3 * side, 3), np.uint8)
        for count in SET_UP:
            run_in_parts(runtime, runtime.crop([frame] * count, model.preprocessing))
        return runtime

    def crop(self, images: Sequence[RGBImage], preprocessing: Preprocessing) -> torch.Tensor:
        """RGB images, uint8 H x W x 3, of any sizes → uint8 N x S x S x 3, on the device.

        Within a level of `Preprocessing.crop`, a tenth on average.
        """
        with self._computing():
            return torch.stack([crop(image, preprocessing, self._sent, self._weigh) for image in images])

    def run(self, crops: NDArray[np.uint8] | torch.Tensor) -> NDArray[np.float32]:
        """As `Runtime.run`, for any N and S, here or on the device. Pixels go there as uint8."""
        with self._computing():
            batch = crops if isinstance(crops, torch.Tensor) else self._sent(crops)
            return np.asarray(self._replayed(batch).cpu().numpy())

    def release_memory(self) -> None:
        """Give graphs and cached blocks back, so that a smaller batch can have them."""
        self._replayed.clear()
        self._weigh.cache_clear()
        super().release_memory()

    def _placed(self, network: Any) -> torch.nn.Module:
        return FusedNetwork(network, self._preprocessing, self.device, DTYPES[self.precision])

    @contextmanager
    def _computing(self) -> Iterator[None]:
        # On a current GPU that is another one, memory would be taken too. Not in `inference_mode`: what is recorded
        # under it breaks the recordings of other plugins.
        index = self.device.index if self.device.type == "cuda" else -1
        with torch.no_grad(), fixed_threads(), full_fp32(), torch.cuda.device(index), memory_watched():
            yield
