"""Comparisons that are ready-made: the handwritten digits that come with scikit-learn, at 16 pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.digits import training_and_held_out, write_class_folders


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
        """`train/` and `val/` of class folders; files that are there stay as they are. Returns: the folder."""
        parts = training_and_held_out()
        for name, digits in zip(("train", "val"), parts[::-1] if self.turned else parts, strict=True):
            write_class_folders(digits, folder / name)
        return folder


SETTINGS = {
    "input_size": "16",
    "batch_size": "64",
    "optimizer": "adamw",
    "learning_rate": "0.002",
    "horizontal_flip": "False",
    "precision": "fp32",
}

DEFAULT = "few-digits"
"""With many images to learn from, every architecture gets nearly all digits right, and nothing is told apart."""

PRESETS = {
    # Beside eleven layers at constant cost, a pair at less than half of it.
    "digits": Preset(False, ("resnet11",), ("resnet11_1x24d", "resnext11_8x4d"), {**SETTINGS, "epochs": "5"}),
    "few-digits": Preset(
        True, ("resnet11",), ("resnet11_1x24d", "resnext11_8x4d"), {**SETTINGS, "epochs": "15", "batch_size": "32"}
    ),
}
