"""How far a configuration's answers are from the fp32 reference's, measured by the ways that will answer."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.network.outputs import softmax
from .runtime import CropsItself, Runtime, run_in_parts

IMAGES = 16
"""Images that are generated where a model has no golden set."""

MIN_TOP1_AGREEMENT = 0.9
"""Share of images that must keep their best class: of 16, one may be so near a tie that any rounding turns it."""

FP32_TOLERANCE = 1e-3
"""Largest change of a probability in fp32, whatever `guard_tolerance` allows: kernels differ by a thousandth of that, a
wrong epsilon of a batch normalization by more."""

SINGLE_IMAGES = 3
"""Of the images that are compared, run one by one: where CUDA graphs are, set up, recorded and replayed."""

BATCH = 8
"""The others run in such batches, the last of which is smaller."""

CROP_TOLERANCE = (1, 0.1)
"""Levels by which pixels that a runtime resizes itself may differ from the CPU's: one of them, and on average."""


@dataclass(frozen=True)
class Agreement:
    """Measured on the golden set, or on generated images.

    Attributes:
        images: how many there were.
        golden: whether they are the model folder's own.
        top1: share of images whose best class is the same, in [0, 1].
        largest_change: of any class's probability on any image, in [0, 1].
    """

    images: int
    golden: bool
    top1: float
    largest_change: float

    @classmethod
    def of(cls, logits: NDArray[np.float32], reference: NDArray[np.float32], golden: bool) -> "Agreement":
        """Compare N x C logits. Raises: ValueError for logits that are not finite."""
        change = np.abs(softmax(logits) - softmax(reference)).max()
        same = (logits.argmax(axis=1) == reference.argmax(axis=1)).mean()
        return cls(len(logits), golden, float(same), float(change))

    def within(self, tolerance: float) -> bool:
        """Whether a configuration that answers so may take the reference's place."""
        return self.largest_change <= tolerance and self.top1 >= MIN_TOP1_AGREEMENT

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        kind = "golden" if self.golden else "generated"
        return (
            f"the best class is the same on {self.top1:.1%} of {self.images} {kind} images, probabilities change by "
            f"up to {self.largest_change:.2g}"
        )


def answers(runtime: Runtime, images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """What a runtime answers, by the ways that it will answer: single images and batches, and its own resizing.

    Args:
        images: crops, N x S x S x 3 uint8.

    Returns:
        N x K, as `Runtime.run`.

    Raises:
        RuntimeError: it fails, or resizes otherwise than the CPU does.
    """
    if isinstance(runtime, CropsItself):
        frame = images[0].repeat(3, axis=0).repeat(4, axis=1)
        resized = np.asarray(runtime.crop([frame], preprocessing)[0].cpu(), np.int16)
        levels = np.abs(resized - preprocessing.crop(frame))
        if levels.max() > CROP_TOLERANCE[0] or levels.mean() > CROP_TOLERANCE[1]:
            raise RuntimeError(
                f"resizing differs from the CPU's by up to {levels.max()} levels of 255, {levels.mean():.2g} on average"
            )
    ends = [*range(1, SINGLE_IMAGES), *range(SINGLE_IMAGES, len(images), BATCH)]
    return np.concatenate([run_in_parts(runtime, part) for part in np.split(images, ends) if len(part)])


def generated_images(side: int) -> NDArray[np.uint8]:
    """16 pictures as uint8, N x side x side x 3: the same every time, each with its own colors and scales.

    Sums of coarse to fine random fields, because white noise looks the same to a network whatever it is.
    """
    random = np.random.default_rng(0)
    places = np.linspace(0, 1, side)
    pictures = [_picture(random, places) for _ in range(IMAGES)]
    return np.asarray(np.rint(np.clip(pictures, 0, 1) * 255), np.uint8)


def _picture(random: "np.random.Generator", places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Waves, a box and some noise on a ground, around [0, 1]."""
    side = len(places)
    picture = np.tile(random.uniform(0, 1, 3), (side, side, 1))
    for _ in range(8):
        down, right = random.uniform(-24, 24, 2) * random.uniform(0, 1)
        wave = np.sin(2 * np.pi * (down * places[:, None] + right * places[None] + random.uniform()))
        picture += random.uniform(0, 0.25) * wave[..., None] * random.normal(0, 1, 3)
    top, left = random.integers(0, max(1, side // 2), 2)
    picture[top : top + side // 2, left : left + side // 3] += random.uniform(-0.5, 0.5, 3)
    return picture + random.normal(0, 0.03, picture.shape)
