"""`Preprocessing.normalize` as a layer, for networks that take crops as they are."""

import torch
from torch import nn

from ..images.preprocessing import Preprocessing, normalize_pixels


class Normalize(nn.Module):
    """Constants are buffers: on a device, copying them there in each step would wait for it."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        for name in ("mean", "std"):
            constant = torch.tensor(getattr(preprocessing, name)).view(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """N x H x W x 3, uint8 or float32 in [0, 255] → N x 3 x H x W float32, normalized, in `channels_last`."""
        return normalize_pixels(crops, self.mean, self.std)
