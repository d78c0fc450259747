"""Small datasets: scikit-learn's handwritten digits, and noise of two levels."""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(folder: Path, counts: dict[str, int], labels=(0, 1, 2), size: int = 16) -> Path:
    """`folder/<part>/<label>/<number>.png`, `counts` of each label; "" as a part puts class folders at the top."""
    digits = load_digits()
    for label in labels:
        rows = np.flatnonzero(digits.target == label)
        for part, count in counts.items():
            place = folder / part / str(label)
            place.mkdir(parents=True, exist_ok=True)
            taken, rows = rows[:count], rows[count:]
            for row in taken:
                pixels = (digits.images[row] * (255 / 16)).astype(np.uint8)
                Image.fromarray(pixels).resize((size, size)).save(place / f"{row}.png")
    return folder


def write_two_levels(folder: Path, counts: dict[str, int], width: int = 32, height: int = 32) -> Path:
    """`folder/<part>/dark` and `light`, which a glance tells apart, with `counts` images of each."""
    generator = np.random.default_rng(0)
    for part, count in counts.items():
        for label, level in (("dark", 40), ("light", 200)):
            (folder / part / label).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(level - 30, level + 30, (height, width, 3), np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{index}.png")
    return folder


TINY = {
    "weights": "none",
    "layers": "1,1",
    "cardinality": "4",
    "bottleneck_width": "4",
    "input_size": "16",
    "batch_size": "8",
    "epochs": "3",
    "precision": "fp32",
    "device": "cpu",
    "seed": os.environ.get("TEST_SEED", "0"),
}
"""Parameters of a training that takes a second. No test may depend on the seed: TEST_SEED gives another one."""
