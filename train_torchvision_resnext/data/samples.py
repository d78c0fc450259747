"""The images of a dataset: what is known of each, how their pixels are read, and a few that stand for all."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..resnext.images.files import content_of, decode
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import ImageError, RGBImage, to_rgb


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        target: its class's index in the dataset's labels.
        content_hash, short_side: as they were found; empty and 0 where nobody looked.
    """

    path: Path
    target: int
    content_hash: str = ""
    short_side: int = 0


class ReadError(ValueError):
    """An image that could be read when training began cannot be read any more."""


@dataclass(frozen=True)
class Reader:
    """Reads images from their files, each time. All methods but `factor` raise ReadError."""

    preprocessing: Preprocessing

    def factor(self, sample: Sample) -> int:
        """By which the sides of what `read` gives were divided."""
        return 1

    def read(self, sample: Sample) -> RGBImage:
        """The image as it is trained on: RGB, uint8, H x W x 3."""
        return self.read_with_hash(sample)[0]

    def read_with_hash(self, sample: Sample) -> tuple[RGBImage, str]:
        """The image in its own size, and the hash of the content that the file has now."""
        try:
            content = content_of(sample.path)
            image = np.ascontiguousarray(to_rgb(decode(content), self.preprocessing.value_range))
        except (ImageError, OSError) as error:
            raise ReadError(f"{sample.path} could be read when training began, and now cannot: {error}") from error
        return image, hash_of(content)

    def crop(self, sample: Sample) -> RGBImage:
        """What inference sees of the image, S x S x 3."""
        return self.preprocessing.crop(self.read(sample))

    def crops(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """What inference sees of these images, at least one: N x S x S x 3."""
        return np.stack([self.crop(sample) for sample in samples])


def hash_of(content: bytes) -> str:
    """By which contents of image files are told apart, in hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def pick(samples: Sequence[Sample], most: int, seed: int) -> tuple[Sample, ...]:
    """Up to `most` of them, in their order: the classes take turns until there are enough, each drawing at random."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        places[sample.target].append(place)
    draw = random.Random(seed)
    classes = list(places.values())
    # So that not always the first classes are those that get one more.
    draw.shuffle(classes)
    for of_class in classes:
        draw.shuffle(of_class)
    turns = (place for place in chain.from_iterable(zip_longest(*classes)) if place is not None)
    return tuple(samples[place] for place in sorted(islice(turns, most)))
