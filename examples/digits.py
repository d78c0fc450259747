"""Real handwritten digits that come with scikit-learn: 1,797 grey images of 8 x 8 pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LABELS = tuple(str(digit) for digit in range(10))
HELD_OUT = 0.2


@dataclass(frozen=True)
class Digits:
    """Images, uint8, N x 8 x 8, 0-255, white on black; and their digits, 0-9."""

    images: NDArray[np.uint8]
    digits: NDArray[np.int64]


def training_and_held_out() -> tuple[Digits, Digits]:
    """1,437 digits to learn from and 360 to be judged by; the same split every time."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    training, held_out = train_test_split(
        np.arange(len(images)), test_size=HELD_OUT, stratify=data.target, random_state=0
    )
    return Digits(images[training], data.target[training]), Digits(images[held_out], data.target[held_out])
