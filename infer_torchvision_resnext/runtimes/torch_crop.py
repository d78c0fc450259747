"""`Preprocessing.crop` in torch, on any device: two matrix products, one along the rows and one down the columns.

PIL filters along the rows, rounds to bytes, filters down the columns and rounds again. So does this, with the same
triangle filter, but for the part that the crop shows only; what PIL computes in fixed-point numbers is float32 here.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage
from ..resnext.images.triangle_filter import Stretch, triangle

Send = Callable[[NDArray[np.uint8]], torch.Tensor]
"""Copies pixels, possibly a view, to a device."""

Weigh = Callable[[Stretch, int, int, torch.device], torch.Tensor]
"""`filter_weights`, or what remembers its results."""


def crop(image: RGBImage, preprocessing: Preprocessing, send: Send, weigh: Weigh) -> torch.Tensor:
    """Resize and center-crop where `send` takes the pixels.

    Args:
        image: RGB, uint8, H x W x 3, any size from 1 x 1.

    Returns:
        RGB, uint8, crop_size x crop_size x 3, contiguous, on the device.
    """
    rows, columns = preprocessing.shown(*image.shape[:2])
    (top, bottom), (left, right) = rows.reach(image.shape[0]), columns.reach(image.shape[1])
    pixels = send(image[top:bottom, left:right])
    planes = pixels.permute(2, 0, 1).float()
    across = _rounded(planes @ weigh(columns, left, right, pixels.device).T)
    down = _rounded(weigh(rows, top, bottom, pixels.device) @ across)
    return down.to(torch.uint8).permute(1, 2, 0).contiguous()


def filter_weights(stretch: Stretch, first: int, last: int, device: torch.device) -> torch.Tensor:
    """What the source pixels from `first` to `last` count for in each resized one: float32, on the device."""
    source = torch.arange(first, last, device=device, dtype=torch.float64)
    end = stretch.begin + stretch.count
    resized = torch.arange(stretch.begin, end, device=device, dtype=torch.float64)
    weights: torch.Tensor = triangle(source, resized, stretch.scale)
    return weights.float()


def _rounded(planes: torch.Tensor) -> torch.Tensor:
    # As PIL: halves upwards.
    return planes.add_(0.5).floor_().clamp_(0, 255)
