"""Samples → pixels, read from their files each time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..resnext.images.files import read_image
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import ImageError, RGBImage
from .samples import Sample


class ReadError(ValueError):
    """An image that could be read when training began cannot be read any more."""


@dataclass(frozen=True)
class Reader:
    """Reads images as their files hold them. All methods but `factor` raise ReadError."""

    preprocessing: Preprocessing

    def factor(self, sample: Sample) -> int:
        """By which the sides of what `read` gives were divided."""
        return 1

    def read(self, sample: Sample) -> RGBImage:
        """The image as it is trained on: RGB, uint8, H x W x 3."""
        try:
            return read_image(sample.path, self.preprocessing.value_range)
        except (ImageError, OSError) as error:
            raise ReadError(f"{sample.path} could be read when training began, and now cannot: {error}") from error

    def crop(self, sample: Sample) -> RGBImage:
        """What inference sees of the image, S x S x 3."""
        return self.preprocessing.crop(self.read(sample))

    def crops(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """What inference sees of these images, at least one: N x S x S x 3."""
        return np.stack([self.crop(sample) for sample in samples])
