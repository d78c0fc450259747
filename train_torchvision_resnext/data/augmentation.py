"""What training shows of an image: another crop, mirrored, recolored, blended each time.

Every draw is a pure function of the seed, the epoch and the image's or the batch's number. So a resumed training sees
what an uninterrupted one would have seen, with any number of workers.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage

SCALE = (0.5, 1.0)
"""Share of the image's area that a random crop shows."""

ASPECT = (3 / 4, 4 / 3)


def generator_of(*numbers: int) -> np.random.Generator:
    """A source of random numbers that depends on these numbers alone."""
    return np.random.default_rng(numbers)


@contextmanager
def _drawing_by(*numbers: int) -> Iterator[None]:
    """Within, torch draws what depends on these numbers alone; afterwards, what it would have drawn."""
    with torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, which also sets the generators of the GPUs, and nothing would put those back.
        torch.default_generator.manual_seed(int(generator_of(*numbers).integers(2**63)))
        yield


@dataclass(frozen=True)
class Augmentation:
    """From an image to a crop, at random.

    Attributes:
        kind: none, light, trivial or rand.
        erasing: probability of painting over a rectangle.
    """

    kind: str
    preprocessing: Preprocessing
    flip: bool
    erasing: float
    seed: int

    @property
    def changes_pixels(self) -> bool:
        """Whether epochs show an image differently."""
        return self.kind != "none" or bool(self._steps)

    def crop(self, image: RGBImage, epoch: int, index: int, shrunk: int = 1) -> NDArray[np.uint8]:
        """The crop that the image with this index gets in this epoch: RGB, uint8, crop_size x crop_size x 3.

        Args:
            shrunk: by what the image's sides were divided before, which changes the pixels and not the framing.
        """
        with _drawing_by(self.seed, epoch, index):
            framed = (
                self._framed(image, shrunk) if self.kind != "none" else Image.fromarray(self.preprocessing.crop(image))
            )
            for step in self._steps:
                framed = step(framed)
            return np.asarray(framed)

    def _framed(self, image: RGBImage, shrunk: int) -> Image.Image:
        """A random part of the image, resized to the crop: "inception" cropping, Szegedy et al. 2015."""
        side = self.preprocessing.crop_size
        # The size is all that is drawn from. The part is cut out before PIL copies it: the whole may be huge.
        height, width = image.shape[:2]
        size_only = torch.empty((height * shrunk, width * shrunk), device="meta")
        drawn = v2.RandomResizedCrop(side, SCALE, ASPECT).make_params([size_only])
        top, left = drawn["top"] / shrunk, drawn["left"] / shrunk
        bottom, right = top + drawn["height"] / shrunk, left + drawn["width"] / shrunk
        rows, columns = slice(int(top), math.ceil(bottom)), slice(int(left), math.ceil(right))
        part = Image.fromarray(np.ascontiguousarray(image[rows, columns]))
        box = (left - columns.start, top - rows.start, right - columns.start, bottom - rows.start)
        return part.resize((side, side), Image.Resampling.BILINEAR, box)

    @cached_property
    def _steps(self) -> tuple[v2.Transform, ...]:
        """What is done to the crop, a picture of PIL's. Erasing is that of Zhong et al. 2017.

        What is moved away or erased leaves the mean color, which is 0 to the network.
        """
        fill = [round(255 * value) for value in self.preprocessing.mean]
        steps: list[v2.Transform] = []
        if self.erasing:
            steps.append(v2.RandomErasing(self.erasing, value=fill))  # type: ignore[arg-type]
        if self.kind in ("trivial", "rand"):
            steps.insert(0, (v2.TrivialAugmentWide if self.kind == "trivial" else v2.RandAugment)(fill=fill))
        if self.kind != "none" and self.flip:
            steps.insert(0, v2.RandomHorizontalFlip())
        return tuple(steps)


@dataclass(frozen=True)
class Blend:
    """Mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019): each image is blended with the one before it."""

    mixup: float
    cutmix: float
    num_classes: int
    seed: int

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, epoch: int, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Blend a batch, by one of the two where both are wanted.

        Args:
            images: N x 3 x H x W, floating point.
            targets: N class indices.

        Returns:
            The images, and N x C probabilities of the classes.
        """
        kinds = ((v2.MixUp, self.mixup), (v2.CutMix, self.cutmix))
        blends = [kind(alpha=alpha, num_classes=self.num_classes) for kind, alpha in kinds if alpha]
        with _drawing_by(self.seed, epoch, batch, 1):
            blended, probabilities = v2.RandomChoice(blends)(images, targets)
        return blended, probabilities
