"""The images of a dataset, one by one, and a few that stand for all."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path


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
