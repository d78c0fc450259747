"""Real handwritten digits that come with scikit-learn: 1,797 gray images of 8 x 8 pixels."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LABELS = tuple(str(digit) for digit in range(10))
HELD_OUT = 0.2

CELL = 96
"""Pixels of a digit's place on a sheet."""


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


def write_class_folders(digits: Digits, folder: Path, places: int = 1) -> None:
    """Write `folder/<digit>/<number>.png`; files that are there stay as they are, and none is ever seen half written.

    Args:
        places: of the number in the name, filled up with zeros. Names are sorted as texts.
    """
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.digits, strict=True)):
        file = folder / str(digit) / f"{number:0{places}}.png"
        if file.is_file():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, for another process may be reading.
        draft = file.with_name(f".{file.name}-{os.getpid()}")
        Image.fromarray(pixels).save(draft, format="png")
        draft.replace(file)


def sheet_of(held_out: Digits, rows: int, columns: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The first digits on a black sheet, enlarged, and which digit stands where."""
    sheet = np.zeros((rows * CELL, columns * CELL, 3), np.uint8)
    digits = held_out.digits[: rows * columns].reshape(rows, columns)
    for index, image in enumerate(held_out.images[: rows * columns]):
        large = Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)
        top, left = index // columns * CELL + 24, index % columns * CELL + 16
        sheet[top : top + 64, left : left + 64] = np.asarray(large)[..., None]
    return sheet, digits


def digit_at(digits: NDArray[np.int64], box_xywh: list[float]) -> int:
    """The digit in whose place the middle of a box lies."""
    x, y, width, height = box_xywh
    return int(digits[int(y + height / 2) // CELL, int(x + width / 2) // CELL])
