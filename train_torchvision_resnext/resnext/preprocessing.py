"""From an RGB image to the square the network sees. Part of the model, not of the caller.

The short side is resized to `resize_size` with an antialiased bilinear filter, the central `crop_size` square is cut
out, pixels are scaled to [0, 1] and normalised: torchvision's classification preset, pixel for pixel.

Two kinds of images are computed differently, and come out a level off in some pixels. Of a long strip only the square
is computed, so that 1 x 4000 costs no more than a photo. Of a large photo (`LARGE_PIXELS`, `LARGE_SCALE`) too, from
means of its pixels; the mean difference is below a tenth of a level.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import large_photo
from .images import RGBImage
from .large_photo import Stretch

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_ASPECT = 4
"""Up to this ratio of the sides the whole image is resized and then cropped, pixel for pixel as torchvision does."""

LARGE_PIXELS = 4_000_000
LARGE_SCALE = 8
"""An image is large if it has as many pixels, and its short side is as many times `resize_size`."""


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its images. Sizes in pixels, mean and std per RGB channel for pixels in [0, 1]."""

    resize_size: int = 256
    crop_size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.crop_size <= self.resize_size:
            raise ValueError(
                f"crop_size {self.crop_size} must be at least 1 and at most resize_size {self.resize_size}"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must have three values each, std above 0")

    def scaled_to(self, input_size: int) -> "Preprocessing":
        """The same framing at another size of the square: 256/224 at 112 becomes 128/112. 0 changes nothing."""
        if input_size in (0, self.crop_size):
            return self
        return replace(self, resize_size=round(self.resize_size * input_size / self.crop_size), crop_size=input_size)

    def crop(self, image: RGBImage, parallel: bool = False) -> NDArray[np.uint8]:
        """Resize and centre-crop. The result does not depend on `parallel`.

        Args:
            image: RGB, uint8, H x W x 3, any size from 1 x 1, contiguous or not.
            parallel: whether OpenCV's threads may help with a large image.

        Returns:
            RGB, uint8, crop_size x crop_size x 3.

        Raises:
            ImportError: there is no OpenCV, and the image is large.
        """
        height, width = image.shape[:2]
        short_side = min(height, width)
        rows = Axis.of(height, short_side, self)
        columns = Axis.of(width, short_side, self)
        if height * width >= LARGE_PIXELS and short_side >= LARGE_SCALE * self.resize_size:
            return large_photo.resize(image, rows.shown(self.crop_size), columns.shown(self.crop_size), parallel)
        needed = np.ascontiguousarray(image[rows.first : rows.last, columns.first : columns.last])
        resized = Image.fromarray(needed).resize(
            (columns.resized, rows.resized),
            Image.Resampling.BILINEAR,
            box=(columns.start, rows.start, columns.stop, rows.stop),
        )
        top, left = rows.offset, columns.offset
        return np.asarray(resized)[top : top + self.crop_size, left : left + self.crop_size]

    def normalise(self, batch: "torch.Tensor") -> "torch.Tensor":
        """N x H x W x 3 uint8, on any device → N x 3 x H x W float32, normalised."""
        pixels = batch.permute(0, 3, 1, 2).float().div_(255)
        mean = pixels.new_tensor(self.mean).view(1, 3, 1, 1)
        std = pixels.new_tensor(self.std).view(1, 3, 1, 1)
        return pixels.sub_(mean).div_(std)

    def to_dict(self) -> dict[str, Any]:
        """For output and logs."""
        return {
            "resize_size": self.resize_size,
            "crop_size": self.crop_size,
            "mean": list(self.mean),
            "std": list(self.std),
        }


@dataclass(frozen=True)
class Axis:
    """How one axis is resized and cropped.

    Of the source pixels `first:last`, the stretch from `start` to `stop`, counted from `first`, becomes `resized`
    pixels; the crop begins at the pixel `offset` of these.
    """

    first: int
    last: int
    start: float
    stop: float
    resized: int
    offset: int

    @classmethod
    def of(cls, length: int, short_side: int, preprocessing: Preprocessing) -> "Axis":
        """How an axis of `length` pixels is resized: all of it, or of a long strip what the crop shows."""
        crop = preprocessing.crop_size
        # Sizes and offsets are cut and rounded as torchvision cuts and rounds them.
        resized = preprocessing.resize_size * length // short_side
        offset = round((resized - crop) / 2.0)
        if resized <= MAX_ASPECT * preprocessing.resize_size:
            return cls(0, length, 0, length, resized, offset)
        # Resize only what the crop shows. PIL keeps box coordinates in float32, so that a few pixels may differ by
        # one level from those of the whole.
        scale = length / resized
        start, stop = offset * scale, (offset + crop) * scale
        # A triangle filter reaches one output pixel to each side when it shrinks, one input pixel when it enlarges.
        reach = max(scale, 1.0) + 1
        first = max(0, math.floor(start - reach))
        last = min(length, math.ceil(stop + reach))
        return cls(first, last, start - first, stop - first, crop, 0)

    def shown(self, crop_size: int) -> Stretch:
        """What the crop shows, in pixels of the whole axis."""
        scale = (self.stop - self.start) / self.resized
        start = self.first + self.start + self.offset * scale
        return Stretch(start, start + crop_size * scale, crop_size)
