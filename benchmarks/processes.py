"""Images a second of training in one process and in two, of one thread each: `python -m benchmarks processes`.

Both train by turns, an epoch that is counted after one that is not: one block a stage of ResNeXt-50, on digits at 64
pixels.
Only a machine with two idle cores can show what a second process gains.
"""

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import BATCH_SIZE, write_digits
from examples.ikomia_home import use_own_home

ROUNDS = 3


def main() -> list[dict[str, Any]]:
    """Returns: a row for each number of processes."""
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other

    speeds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = write_digits(Path(scratch) / "digits")
        for _ in range(ROUNDS):
            for count, measured in speeds.items():
                measured.append(images_a_second(dataset, Path(scratch) / "runs", count))
    gains = np.divide(speeds[2], speeds[1])
    return [
        {
            "processes": count,
            "images/s, median": f"{np.median(measured):.1f}",
            "times as fast": f"{np.median(gains):.2f}" if count == 2 else "1",
        }
        for count, measured in speeds.items()
    ]


def images_a_second(dataset: Path, output: Path, count: int) -> float:
    """Of the second epoch, validation included."""
    from train_torchvision_resnext.parameters import read_host_map
    from train_torchvision_resnext.progress import Listener, Row
    from train_torchvision_resnext.training import train

    rows: list[Row] = []
    values = {
        "weights": "none",
        "layers": "1,1,1,1",
        "input_size": 64,
        "epochs": 3,
        "batch_size": BATCH_SIZE,
        "device": "cpu",
        "precision": "fp32",
        "devices": count,
        # One thread in each process.
        "threads": count,
        "output_folder": output,
    }
    train(dataset, read_host_map(values), Listener(epoch=rows.append, stop_requested=lambda: len(rows) == 2))
    return sum(1 for _ in dataset.rglob("*.png")) / rows[1]["seconds"]


if __name__ == "__main__":
    print(main())
