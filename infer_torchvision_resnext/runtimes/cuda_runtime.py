"""PyTorch on a GPU: pixels go there as uint8, and are resized and normalized there.

Every part but the copy from pinned memory and the CUDA graphs is written for any device, and tested on the CPU.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage
from ..resnext.machine.devices import full_fp32
from ..resnext.machine.threads import fixed_threads
from .cuda_graphs import Replayed
from .torch_crop import crop
from .torch_runtime import TorchRuntime


class CudaRuntime(TorchRuntime):
    """A network on a GPU: channels last, batch normalization folded, small batches as CUDA graphs."""

    def __init__(
        self, network: torch.nn.Module, preprocessing: Preprocessing, device: torch.device, precision: str
    ) -> None:
        super().__init__(network, preprocessing, device, precision)
        mean, std = (torch.tensor(values, device=device) * 255 for values in (preprocessing.mean, preprocessing.std))
        self._mean, self._std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        self._replayed = Replayed(self._rows)

    def crop(self, images: Sequence[RGBImage], preprocessing: Preprocessing) -> torch.Tensor:
        """Resize and crop on the device.

        Args:
            images: RGB, uint8, H x W x 3, of any sizes.

        Returns:
            uint8, N x S x S x 3, on the device; within a level of `Preprocessing.crop`, a tenth on average.
        """
        with torch.inference_mode(), fixed_threads():
            return torch.stack([crop(image, preprocessing, self._sent) for image in images])

    def run(self, crops: NDArray[np.uint8] | torch.Tensor) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S, here or on the device → N x (C + F), logits and features, in float32."""
        with torch.inference_mode(), fixed_threads(), full_fp32():
            batch = crops if isinstance(crops, torch.Tensor) else self._sent(crops)
            with torch.cuda.device_of(batch):  # type: ignore[no-untyped-call]
                return np.asarray(self._replayed(batch).cpu().numpy())

    def release_memory(self) -> None:
        """Give graphs and cached blocks back, so that a smaller batch can have them."""
        self._replayed.clear()
        super().release_memory()

    def _rows(self, crops: torch.Tensor) -> torch.Tensor:
        """As the base class's, with nothing to fetch from the CPU, which a CUDA graph could not record."""
        pixels = crops.permute(0, 3, 1, 2).float().sub_(self._mean).div_(self._std)
        rows: torch.Tensor = self._network(pixels.to(self._dtype, memory_format=torch.channels_last))
        return rows.float()
