"""Small jobs on handwritten digits, with the tiny model of the repository."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.digits import training_and_held_out

REPOSITORY = Path(__file__).parents[1]
DIGITS = REPOSITORY / "examples" / "models" / "digits"
SETTINGS = {"weights": str(DIGITS), "device": "cpu", "precision": "fp32", "threads": 1, "top_k": 2}


def write_digits(folder: Path, count: int) -> Path:
    """`folder/<a or b>/<number>.png`: every name in both folders."""
    digits = training_and_held_out()[1].images
    for index in range(count):
        place = folder / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[index % len(digits)]).save(place / f"{index // 2:04}.png")
    return folder


def write_photo(file: Path, seed: int = 0, width: int = 800, height: int = 600) -> Path:
    """A photo of smooth colors, as JPEG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    colors = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(colors).resize((width, height), Image.Resampling.BICUBIC).save(file, quality=90)
    return file


def command(source, output, *options, python=sys.executable) -> list[str]:
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    return [
        python,
        "-m",
        "infer_torchvision_resnext",
        "classify",
        str(source),
        str(output),
        *("--workers", "1", *options),
        "--set",
        *settings,
    ]


def start(arguments) -> "subprocess.Popen[str]":
    """In a process group of its own, as a terminal would."""
    return subprocess.Popen(
        arguments,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def finish(process) -> str:
    """What it said. Fails if it failed."""
    said, problems = process.communicate(timeout=300)
    assert process.returncode == 0, problems
    return said


def rows_of(output: Path) -> list[dict]:
    """All rows, in the order of the parts; with lists as lists, whichever the format."""
    rows = []
    for file in sorted(output.glob("part-*")):
        if file.suffix == ".parquet":
            parquet = pytest.importorskip("pyarrow.parquet")
            rows += parquet.read_table(file).to_pylist()
        else:
            with file.open(encoding="utf-8", newline="") as text:
                for row in csv.DictReader(text):
                    lists = {key: json.loads(row[key]) for key in ("labels", "probabilities")}
                    rows.append({**{key: value or None for key, value in row.items()}, **lists})
    return rows


def assert_each_once(output: Path, paths) -> None:
    assert Counter(row["path"] for row in rows_of(output)) == Counter(dict.fromkeys(paths, 1))
