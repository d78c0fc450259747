"""Small images, and the bulk command on them."""

import subprocess
from pathlib import Path

from PIL import Image

from benchmarks.bulk import command
from examples.digits import training_and_held_out
from examples.ikomia_home import REPOSITORY

DIGITS = {"weights": str(REPOSITORY / "examples" / "models" / "digits"), "device": "cpu", "top_k": "1"}
"""Parameters of the command: the example's model."""


def write_small(folder: Path, count: int) -> None:
    """Write PNG files of handwritten digits, a thousand in each folder."""
    digits = training_and_held_out()[1].images
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[number % len(digits)]).save(place / f"{number:07}.png")


def start_command(folder: Path, table: Path, *options: str) -> "subprocess.Popen[str]":
    """Start the command on a folder, with the digits model. Its messages are in `stderr`."""
    return subprocess.Popen(
        command(folder, table, *options, settings=DIGITS),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_paths(table: Path) -> list[str]:
    """Read the path of every row."""
    from pyarrow import dataset

    paths: list[str] = dataset.dataset(table, format="parquet").to_table(columns=["path"])["path"].to_pylist()
    return paths
