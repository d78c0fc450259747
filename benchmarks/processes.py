"""Images a second of training in one process and in two, of one thread each: `python -m benchmarks processes`.

They train by turns, an epoch that is counted after one that is not: all of ResNeXt-50 on photos at 224 pixels, and one
block a stage of it on digits at 64, where a step is short beside what two processes have to tell each other. *Two by
themselves* are two trainings at the same time that know nothing of each other: no more can come of a second process on
this machine. Only a machine with two idle cores can show it.
"""

import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bulk import SIZES, write_photos
from benchmarks.training import BATCH_SIZE, write_digits
from examples.ikomia_home import use_own_home

ROUNDS = 3
DIGITS = {"layers": "1,1,1,1", "input_size": 64}
PHOTOS = {"input_size": 224}
PHOTOS_A_CLASS = {"train": 32, "val": 8}
WAYS = {"one process": (1, 1), "two processes": (2, 1), "two by themselves": (1, 2)}
"""Name → processes of a training, and trainings at the same time."""


def main(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Returns: a row for each way on each dataset."""
    use_own_home()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        for seed, (part, count) in enumerate(PHOTOS_A_CLASS.items()):
            write_photos(photos / part / "one", count, SIZES["0.3"], 2 * seed)
            write_photos(photos / part / "other", count, SIZES["0.3"], 2 * seed + 1)
        for name, dataset, values in (
            ("digits, 64 px", write_digits(Path(scratch) / "digits"), DIGITS),
            ("photos, 224 px", photos, PHOTOS),
        ):
            speeds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way, (processes, trainings) in WAYS.items():
                    speeds[way].append(together(dataset, values, processes, trainings))
            rows += [
                {
                    "data": name,
                    "way": way,
                    "images/s, median": f"{np.median(measured):.1f}",
                    "times as fast": f"{np.median(np.divide(measured, speeds['one process'])):.2f}",
                }
                for way, measured in speeds.items()
            ]
    return rows


def together(dataset: Path, values: Mapping[str, Any], processes: int, trainings: int) -> float:
    """Images a second of so many trainings at the same time, in so many processes each."""
    with tempfile.TemporaryDirectory() as runs, ProcessPoolExecutor(trainings, get_context("spawn")) as pool:
        asked = [{**values, "devices": processes, "output_folder": f"{runs}/{each}"} for each in range(trainings)]
        return sum(pool.map(images_a_second, [dataset] * trainings, asked))


def images_a_second(dataset: Path, asked: Mapping[str, Any]) -> float:
    """Of the second epoch, validation included, with one thread in each process."""
    import_module("ikomia")  # its OpenCV must come before any other
    from train_torchvision_resnext.parameters import read_host_map
    from train_torchvision_resnext.progress import Listener, Row
    from train_torchvision_resnext.training import train

    rows: list[Row] = []
    values = {
        "weights": "none",
        "epochs": 3,
        "batch_size": BATCH_SIZE,
        "device": "cpu",
        "precision": "fp32",
        "threads": asked["devices"],
        **asked,
    }
    train(dataset, read_host_map(values), Listener(epoch=rows.append, stop_requested=lambda: len(rows) == 2))
    return sum(1 for file in dataset.rglob("*.*") if file.is_file()) / rows[1]["seconds"]
