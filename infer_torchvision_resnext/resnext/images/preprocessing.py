"""From an RGB image to the square the network sees. Part of the model, not of the caller.

The short side is resized to `resize_size` with an antialiased bilinear filter, the central `crop_size` square is cut
out, pixels are scaled to [0, 1] and normalized: torchvision's classification preset, pixel for pixel.

Two kinds of images are computed differently, and come out a level off in some pixels. Of a long strip only the square
is computed, so that 1 x 4000 costs no more than a photo. Of a large photo (`LARGE_PIXELS`, `LARGE_SCALE`) too, from
means of its pixels; the mean difference is a fifth of a level, most of it OpenCV's rounding.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .opencv import opencv
from .rgb import AUTO, RGBImage, ValueRange, to_rgb
from .triangle_filter import Stretch

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_ASPECT = 4
"""Up to this ratio of the sides the whole image is resized and then cropped, pixel for pixel as torchvision does."""

MAX_CROP = 4096
"""Side of the square that the network sees, in pixels; the largest `input_size`."""
MAX_SIDE = 16_384
"""Of the resized image, in pixels: beyond it, a single one takes gigabytes."""

LARGE_PIXELS = 4_000_000
LARGE_SCALE = 8
"""An image is large if it has as many pixels, and its short side is as many times `resize_size`."""

Size = tuple[int, int]
"""Width and height in pixels."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

SMALLEST_SCALE = 4
"""So many means in a row, or more, make a pixel of the result, so that PIL's filter still shapes it."""

AT_ONCE = 2**16
"""Pixels of the means. For more, OpenCV would start threads of its own, for which a process that is forked from this
one, such as a data loader's, might wait for ever."""


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its images. Sizes in pixels, mean and std per RGB channel for pixels in [0, 1].

    `value_range` says which values of a file are black and white; `crop` gets images for which that is done.
    """

    resize_size: int = 256
    crop_size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    value_range: ValueRange = AUTO

    def __post_init__(self) -> None:
        if not 1 <= self.crop_size <= min(self.resize_size, MAX_CROP) or self.resize_size > MAX_SIDE:
            raise ValueError(
                f"crop_size {self.crop_size} must be at least 1, at most {MAX_CROP} and at most resize_size "
                f"{self.resize_size}, and that at most {MAX_SIDE}"
            )
        values = (*self.mean, *self.std)
        if (len(self.mean), len(self.std)) != (3, 3) or not all(map(math.isfinite, values)) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must have three finite values each, std above 0")

    def scaled_to(self, input_size: int) -> "Preprocessing":
        """The same framing at another size of the square: 256/224 at 112 becomes 128/112. 0 changes nothing."""
        if input_size in (0, self.crop_size):
            return self
        return replace(self, resize_size=round(self.resize_size * input_size / self.crop_size), crop_size=input_size)

    def crop_decoded(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert by `value_range`, resize and crop: all that lies between a decoder and the network.

        Args:
            pixels: RGB or gray as a file or a video holds them, of any depth: H x W or H x W x C.

        Returns:
            As `crop`.

        Raises:
            ImageError: no image, or values that `value_range` does not allow.
            ImportError: there is no OpenCV, which large photos need.
        """
        return self.crop(to_rgb(pixels, self.value_range))

    def crop(self, image: RGBImage) -> NDArray[np.uint8]:
        """Resize and center-crop, in the calling thread.

        Args:
            image: RGB, uint8, H x W x 3, any size from 1 x 1, contiguous or not.

        Returns:
            RGB, uint8, crop_size x crop_size x 3.

        Raises:
            ImportError: there is no OpenCV, which large photos need.
        """
        height, width = image.shape[:2]
        short_side = min(height, width)
        rows, columns = self.shown(height, width)
        if height * width >= LARGE_PIXELS and short_side >= LARGE_SCALE * self.resize_size:
            return _resized_large(image, rows, columns)
        size = self._resized(width, short_side), self._resized(height, short_side)
        if max(size) > MAX_ASPECT * self.resize_size:
            return _resized_strip(image, size, rows, columns)
        return _resized_whole(image, size, rows, columns)

    def shown(self, height: int, width: int) -> tuple[Stretch, Stretch]:
        """What the crop shows of an image: rows and columns."""
        short_side = min(height, width)

        def stretch(length: int) -> Stretch:
            resized = self._resized(length, short_side)
            # Rounded as torchvision rounds it.
            return Stretch(length / resized, round((resized - self.crop_size) / 2.0), self.crop_size)

        return stretch(height), stretch(width)

    def _resized(self, length: int, short_side: int) -> int:
        """Of a side, when the short one is `resize_size`; cut as torchvision cuts it."""
        return self.resize_size * length // short_side

    def normalize(self, batch: "torch.Tensor") -> "torch.Tensor":
        """N x H x W x 3 uint8, on any device → N x 3 x H x W float32, normalized."""
        pixels = batch.float()
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return normalize_pixels(pixels, mean, std)

    def to_dict(self) -> dict[str, Any]:
        """For output and logs."""
        return {
            "resize_size": self.resize_size,
            "crop_size": self.crop_size,
            "mean": list(self.mean),
            "std": list(self.std),
            "value_range": str(self.value_range),
        }


def normalize_pixels(crops: "torch.Tensor", mean: "torch.Tensor", std: "torch.Tensor") -> "torch.Tensor":
    """Scale to [0, 1], subtract the mean, divide by the standard deviation.

    Out of place: before version 2.8 `torch.export` refuses graphs that change a tensor in place.

    Args:
        crops: N x H x W x 3, uint8 or float32 in [0, 255]; not changed.
        mean: float32, 1 x 3 x 1 x 1, on the device of the crops.
        std: likewise.

    Returns:
        N x 3 x H x W float32, in the memory format `channels_last`.
    """
    return crops.permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)


def _resized_whole(image: RGBImage, size: Size, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """Resize the image, then crop: bit for bit what torchvision's transforms give.

    Args:
        image: RGB, uint8, H x W x 3.
        size: of the whole resized image.
        rows: of these, what the crop shows.
        columns: likewise.

    Returns:
        RGB, uint8, rows.count x columns.count x 3.
    """
    return _by_pil(image, size)[rows.shown, columns.shown]


def _resized_strip(image: RGBImage, size: Size, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """The same for a long strip, of whose long side only what the crop shows is resized.

    PIL keeps where that begins and ends in float32, so that a few pixels may be a level off.
    """
    height, width = image.shape[:2]
    if height > width:
        top, bottom = rows.reach(height)
        box: Box = (0, rows.start - top, width, rows.stop - top)
        return _by_pil(image[top:bottom], (size[0], rows.count), box)[:, columns.shown]
    left, right = columns.reach(width)
    box = (columns.start - left, 0, columns.stop - left, height)
    return _by_pil(image[:, left:right], (columns.count, size[1]), box)[rows.shown]


def _resized_large(image: RGBImage, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """The same for a large photo, of which PIL gets the means of 2 x 2 pixels, or more: it would copy all of it.

    Raises:
        ImportError: there is no OpenCV.
    """
    height, width = image.shape[:2]
    largest = 2 * int(min(rows.scale, columns.scale) / (2 * SMALLEST_SCALE))
    # No mean may need pixels beyond the border.
    side = next(
        each
        for each in (*range(largest, 1, -2), 1)
        if rows.reach(height, each)[1] <= height and columns.reach(width, each)[1] <= width
    )
    (top, bottom), (left, right) = rows.reach(height, side), columns.reach(width, side)
    box = (columns.start - left, rows.start - top, columns.stop - left, rows.stop - top)
    means = _means(image[top:bottom, left:right], side)
    return _by_pil(means, (columns.count, rows.count), tuple(edge / side for edge in box))


def _means(image: RGBImage, side: int) -> NDArray[np.uint8]:
    """Of squares of `side` pixels, of which H and W are multiples."""
    cv2 = opencv()
    height, width = len(image) // side, image.shape[1] // side
    means = np.empty((height, width, 3), np.uint8)
    count = max(1, AT_ONCE // width)
    for begin in range(0, height, count):
        part = means[begin : begin + count]
        source = image[begin * side : (begin + len(part)) * side]
        cv2.resize(source, (width, len(part)), dst=part, interpolation=cv2.INTER_AREA)
    return means


def _by_pil(image: RGBImage, size: Size, box: Box | None = None) -> NDArray[np.uint8]:
    pixels = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(pixels.resize(size, Image.Resampling.BILINEAR, box=box))
