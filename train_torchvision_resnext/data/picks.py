"""A few of many samples: as even over the classes as can be, and the same every time."""

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from ..resnext.images.preprocessing import Preprocessing
from .dataset import Sample
from .loading import Images


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


def crops_of(samples: Sequence[Sample], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """As inference sees them: RGB, uint8, N x S x S x 3. Raises: ReadError."""
    images = Images(samples, preprocessing)
    return np.stack([images[place][0] for place in range(len(images))])
