"""From an RGB image to the square the network sees. Part of the model, not of the caller.

The short side is resized to `resize_size` with an antialiased bilinear filter, the central `crop_size` square is cut
out, pixels are scaled to [0, 1] and normalised: torchvision's classification preset, pixel for pixel.

Two kinds of images are computed differently, and come out a level off in some pixels. Of a long strip only the square
is computed, so that 1 x 4000 costs no more than a photo. Of a large photo (`LARGE_PIXELS`, `LARGE_SCALE`) too, from
means of its pixels; the mean difference is below a tenth of a level.
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import large_photo
from .images import RGBImage
from .triangle_filter import Stretch

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_ASPECT = 4
"""Up to this ratio of the sides the whole image is resized and then cropped, pixel for pixel as torchvision does."""

SPLIT_PIXELS, SPLIT_ASPECT = 300_000, 1.5
"""From so many pixels on two threads are faster than one. PIL filters down the columns first, and rounds between, where
the height is more than about twice the width."""

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

    def crop(self, image: RGBImage, helper: Executor | None = None) -> NDArray[np.uint8]:
        """Resize and centre-crop. The result does not depend on `helper`.

        Args:
            image: RGB, uint8, H x W x 3, any size from 1 x 1, contiguous or not.
            helper: a thread that takes over half of the work, where that pays. None = all is done in the calling one.

        Returns:
            RGB, uint8, crop_size x crop_size x 3.

        Raises:
            ImportError: there is no OpenCV, which large photos need.
        """
        height, width = image.shape[:2]
        short_side, long_side = sorted((height, width))
        rows, columns = self.shown(height, width)
        if height * width >= LARGE_PIXELS and short_side >= LARGE_SCALE * self.resize_size:
            return large_photo.resize(image, rows, columns)
        if self.resize_size * long_side // short_side > MAX_ASPECT * self.resize_size:
            return self._crop_strip(image, rows, columns)
        if helper and height * width >= SPLIT_PIXELS and height <= SPLIT_ASPECT * width:
            return self._crop_in_halves(image, rows, columns, helper)
        resized = Image.fromarray(np.ascontiguousarray(image)).resize(self._whole(image), Image.Resampling.BILINEAR)
        return np.asarray(resized)[rows.shown, columns.shown]

    def _whole(self, image: RGBImage) -> tuple[int, int]:
        """Width and height of the image when its short side is `resize_size`, cut as torchvision cuts them."""
        height, width = image.shape[:2]
        return self.resize_size * width // min(height, width), self.resize_size * height // min(height, width)

    def shown(self, height: int, width: int) -> tuple[Stretch, Stretch]:
        """What the crop shows of an image: rows and columns."""
        short_side = min(height, width)

        def stretch(length: int) -> Stretch:
            # Sizes and offsets are cut and rounded as torchvision cuts and rounds them.
            resized = self.resize_size * length // short_side
            return Stretch(length / resized, round((resized - self.crop_size) / 2.0), self.crop_size)

        return stretch(height), stretch(width)

    def _crop_strip(self, image: RGBImage, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
        """Resize what the crop shows of the long side. PIL keeps where that begins and ends in float32."""
        height, width = image.shape[:2]
        if height > width:
            top, bottom = rows.reach(height)
            needed, size = image[top:bottom], (self.resize_size, self.crop_size)
            box: tuple[float, float, float, float] = (0, rows.start - top, width, rows.stop - top)
            shown = slice(None), columns.shown
        else:
            left, right = columns.reach(width)
            needed, size = image[:, left:right], (self.crop_size, self.resize_size)
            box = (columns.start - left, 0, columns.stop - left, height)
            shown = rows.shown, slice(None)
        whole = Image.fromarray(np.ascontiguousarray(needed))
        return np.asarray(whole.resize(size, Image.Resampling.BILINEAR, box=box))[shown]

    def _crop_in_halves(self, image: RGBImage, rows: Stretch, columns: Stretch, helper: Executor) -> NDArray[np.uint8]:
        """As PIL does it in one: along the rows, rounded to bytes, then down the columns; each half in a thread."""
        whole_width, whole_height = self._whole(image)
        squeezed = np.empty((len(image), columns.count, 3), np.uint8)
        crop = np.empty((rows.count, columns.count, 3), np.uint8)

        def squeeze(part: slice) -> None:
            pixels = Image.fromarray(np.ascontiguousarray(image[part]))
            resized = pixels.resize((whole_width, pixels.height), Image.Resampling.BILINEAR)
            squeezed[part] = np.asarray(resized)[:, columns.shown]

        def shrink(part: slice) -> None:
            pixels = Image.fromarray(np.ascontiguousarray(squeezed[:, part]))
            resized = pixels.resize((pixels.width, whole_height), Image.Resampling.BILINEAR)
            crop[:, part] = np.asarray(resized)[rows.shown]

        for work, length in ((squeeze, len(image)), (shrink, columns.count)):
            other_half = helper.submit(work, slice(length // 2, length))
            work(slice(0, length // 2))
            other_half.result()
        return crop

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
