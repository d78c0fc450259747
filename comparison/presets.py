"""Comparisons that are ready-made: the handwritten digits that come with scikit-learn, at 16 pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from examples.digits import Digits, training_and_held_out


@dataclass(frozen=True)
class Preset:
    """A dataset that can be made anywhere, and what is compared on it.

    Attributes:
        turned: learn from the small part, 360 images, and be judged by the large one, 1,437.
        constant_cost: architectures that are compared with their like at cardinality 1 to 32.
        architectures: further ones.
    """

    turned: bool
    constant_cost: tuple[str, ...]
    architectures: tuple[str, ...]
    settings: Mapping[str, str]

    def write_images(self, folder: Path) -> Path:
        """`train/` and `val/` of class folders. Returns: the folder."""
        parts = training_and_held_out()
        for name, digits in zip(("train", "val"), parts[::-1] if self.turned else parts, strict=True):
            _write(folder / name, digits)
        return folder


def _write(folder: Path, digits: Digits) -> None:
    for number, (pixels, label) in enumerate(zip(digits.images, digits.digits, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number}.png")


SETTINGS = {
    "input_size": "16",
    "batch_size": "64",
    "optimizer": "adamw",
    "learning_rate": "0.002",
    "horizontal_flip": "False",
    "precision": "fp32",
}

PRESETS = {
    # Beside eleven layers at constant cost, a pair at less than half of it.
    "digits": Preset(False, ("resnet11",), ("resnet11_1x24d", "resnext11_8x4d"), {**SETTINGS, "epochs": "8"}),
    "few-digits": Preset(
        True, ("resnet11",), ("resnet11_1x24d", "resnext11_8x4d"), {**SETTINGS, "epochs": "15", "batch_size": "32"}
    ),
}
