"""`Preprocessing.crop` in torch, on any device: two matrix products, one along the rows and one down the columns.

PIL filters along the rows, rounds to bytes, filters down the columns and rounds again. So does this, with the same
triangle filter, but for the part that the crop shows only; what PIL computes in fixed-point numbers is float32 here.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ..resnext.images import RGBImage
from ..resnext.preprocessing import Axis, Preprocessing

Send = Callable[[NDArray[np.uint8]], torch.Tensor]
"""Copies pixels, possibly a view, to a device."""


def crop(image: RGBImage, preprocessing: Preprocessing, send: Send) -> torch.Tensor:
    """Resize and centre-crop where `send` takes the pixels.

    Args:
        image: RGB, uint8, H x W x 3, any size from 1 x 1.

    Returns:
        RGB, uint8, crop_size x crop_size x 3, contiguous, on the device.
    """
    height, width = image.shape[:2]
    short_side = min(height, width)
    rows, columns = (Axis.of(length, short_side, preprocessing, whole=False) for length in (height, width))
    pixels = send(image[rows.first : rows.last, columns.first : columns.last])
    planes = pixels.permute(2, 0, 1).float()
    across = _rounded(planes @ _weights(columns, pixels.shape[1], pixels.device).T)
    down = _rounded(_weights(rows, pixels.shape[0], pixels.device) @ across)
    return down.to(torch.uint8).permute(1, 2, 0).contiguous()


def _rounded(planes: torch.Tensor) -> torch.Tensor:
    # As PIL: halves upwards.
    return planes.add_(0.5).floor_().clamp_(0, 255)


def _weights(axis: Axis, length: int, device: torch.device) -> torch.Tensor:
    """What each of `length` source pixels counts for in each resized one; float32, each row adds up to 1."""
    scale = (axis.stop - axis.start) / axis.resized
    resized = torch.arange(axis.resized, device=device, dtype=torch.float64)
    source = torch.arange(length, device=device, dtype=torch.float64)
    centres = axis.start + (resized + 0.5) * scale
    # A filter that shrinks is stretched to the source pixels of one resized pixel.
    distances = (source + 0.5 - centres[:, None]).abs() / max(scale, 1.0)
    weights = (1 - distances).clamp_(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).float()
