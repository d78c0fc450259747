"""What training shows of an image: another crop, mirrored, recolored, blended each time.

Every draw is a pure function of the seed, the epoch and the image's or the batch's number. So a resumed training sees
what an uninterrupted one would have seen, with any number of workers.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from torchvision.transforms import RandAugment, TrivialAugmentWide

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage

if TYPE_CHECKING:
    from ..parameters import Parameters

SCALE = (0.5, 1.0)
"""Share of the image's area that a random crop shows."""

ASPECT = (3 / 4, 4 / 3)
ERASED = (0.02, 0.33)
"""Share of the crop's area that random erasing paints over."""


def generator_of(*numbers: int) -> np.random.Generator:
    """A source of random numbers that depends on these numbers alone."""
    return np.random.default_rng(numbers)


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

    @classmethod
    def of(cls, parameters: "Parameters", preprocessing: Preprocessing) -> "Augmentation":
        return cls(
            parameters.augmentation,
            preprocessing,
            parameters.horizontal_flip,
            parameters.random_erasing,
            parameters.seed,
        )

    def crop(self, image: RGBImage, epoch: int, index: int) -> NDArray[np.uint8]:
        """The crop that the image with this index gets in this epoch: RGB, uint8, crop_size x crop_size x 3."""
        draw = generator_of(self.seed, epoch, index)
        if self.kind == "none":
            pixels = self.preprocessing.crop(image)
        else:
            pixels = self._recolored(self._framed(image, draw), draw)
        return self._erased(pixels, draw) if draw.random() < self.erasing else pixels

    def _framed(self, image: RGBImage, draw: np.random.Generator) -> Image.Image:
        """A random part of the image, resized to the crop: "inception" cropping, Szegedy et al. 2015."""
        height, width = image.shape[:2]
        area = height * width * draw.uniform(*SCALE)
        aspect = math.exp(draw.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        box_width = min(width, math.sqrt(area * aspect))
        box_height = min(height, math.sqrt(area / aspect))
        left = draw.uniform(0, width - box_width)
        top = draw.uniform(0, height - box_height)
        # Whole pixels around the box are enough; a huge image need not pass through PIL.
        rows = slice(max(0, math.floor(top)), min(height, math.ceil(top + box_height)))
        columns = slice(max(0, math.floor(left)), min(width, math.ceil(left + box_width)))
        side = self.preprocessing.crop_size
        part = Image.fromarray(np.ascontiguousarray(image[rows, columns]))
        framed = part.resize((side, side), Image.Resampling.BILINEAR)
        if self.flip and draw.random() < 0.5:
            framed = framed.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return framed

    def _recolored(self, picture: Image.Image, draw: np.random.Generator) -> NDArray[np.uint8]:
        if self.kind != "light":
            policies = {"trivial": TrivialAugmentWide, "rand": RandAugment}
            fill = [round(255 * value) for value in self.preprocessing.mean]
            # torchvision draws from torch's global source: set it for this image, and put it back.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(draw.integers(2**63)))
                picture = policies[self.kind](fill=fill)(picture)
        return np.asarray(picture)

    def _erased(self, pixels: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
        """Random erasing, Zhong et al. 2017, with the mean color, which is 0 to the network."""
        side = self.preprocessing.crop_size
        area = side * side * draw.uniform(*ERASED)
        aspect = math.exp(draw.uniform(math.log(0.3), math.log(1 / 0.3)))
        height = min(side, max(1, round(math.sqrt(area / aspect))))
        width = min(side, max(1, round(math.sqrt(area * aspect))))
        top, left = int(draw.integers(side - height + 1)), int(draw.integers(side - width + 1))
        erased = pixels.copy()
        erased[top : top + height, left : left + width] = np.rint(255 * np.array(self.preprocessing.mean))
        return erased


@dataclass(frozen=True)
class Blend:
    """Mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019): each batch is blended with its own permutation."""

    mixup: float
    cutmix: float
    num_classes: int
    seed: int

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, epoch: int, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Blend a batch.

        Args:
            images: N x 3 x H x W, floating point.
            targets: N class indices.

        Returns:
            The images, and N x C probabilities of the classes.
        """
        draw = generator_of(self.seed, epoch, batch, 1)
        cuts = self.cutmix > 0 and (self.mixup == 0 or draw.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        share = float(draw.beta(alpha, alpha))
        order = torch.from_numpy(draw.permutation(len(images))).to(images.device)
        if cuts:
            images, share = _patched(images, images[order], share, draw)
        else:
            images = share * images + (1 - share) * images[order]
        probabilities = functional.one_hot(targets, self.num_classes).to(images.dtype)
        return images, share * probabilities + (1 - share) * probabilities[order]


def _patched(
    images: torch.Tensor, others: torch.Tensor, share: float, draw: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """A rectangle of `others` in `images`, and the share of the area that is left of `images`."""
    height, width = images.shape[2:]
    middle_y, middle_x = int(draw.integers(height)), int(draw.integers(width))
    half_y, half_x = (round(length * math.sqrt(1 - share) / 2) for length in (height, width))
    top, bottom = max(0, middle_y - half_y), min(height, middle_y + half_y)
    left, right = max(0, middle_x - half_x), min(width, middle_x + half_x)
    patched = images.clone()
    patched[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return patched, 1 - (bottom - top) * (right - left) / (height * width)
