"""Seconds an epoch and accuracy of the training task beside a plain loop.

Two processes take turns, an epoch each, so that what else the machine does meets both alike; the one that waits takes
no processor time. An epoch is training and validation. ResNeXt-50, random weights, batches of 32. On a machine
that is busy with other things processor seconds say more than seconds, and with `OMP_NUM_THREADS=1` none of them are
spent by threads that wait for one another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bulk import write_photos
from benchmarks.table import markdown
from examples.digits import training_and_held_out, write_class_folders
from examples.ikomia_home import REPOSITORY

BATCH_SIZE = 32
WAYS = ("plain loop", "this task")
COMPILED = "this task, compiled"
WITHOUT_COPIES = "this task, without image_cache"
LARGE_PHOTOS = 60


def main(photos: Path | None = None) -> list[dict[str, Any]]:
    """Compare on the digits at 64 px and, if there is such a folder, on photos at 224 px.

    Args:
        photos: `train/` and `val/` of class folders.

    Returns:
        A row for each way of training.
    """
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        digits = write_digits(Path(scratch) / "digits")
        rows += compare("digits, 64 px", digits, 64, epochs=2)
        rows += compare("digits, 64 px, frozen", digits, 64, epochs=3, frozen=True)
        if photos:
            rows += compare(f"{photos.name}, 224 px", photos, 224, epochs=2)
            rows += compare(f"{photos.name}, 224 px, frozen", photos, 224, epochs=3, frozen=True)
        large = Path(scratch) / "large"
        shares = {"train/one": 0.4, "train/other": 0.4, "val/one": 0.1, "val/other": 0.1}
        for seed, (place, share) in enumerate(shares.items()):
            write_photos(large / place, round(share * LARGE_PHOTOS), (4000, 3000), seed)
        others = (WITHOUT_COPIES,)
        rows += compare(f"{LARGE_PHOTOS} photos of 12 megapixels, 64 px", large, 64, epochs=2, others=others)
    return rows


def write_digits(folder: Path) -> Path:
    for part, digits in zip(("train", "val"), training_and_held_out(), strict=True):
        write_class_folders(digits, folder / part)
    return folder


def compare(  # noqa: PLR0913, PLR0917
    name: str, dataset: Path, input_size: int, epochs: int, frozen: bool = False, others: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Train both ways, and others that are asked for, by turns.

    The speed is that of the last epoch, after everything has been set up.
    """
    work = {"dataset": str(dataset), "input_size": input_size, "epochs": epochs, "frozen": frozen}
    ways = [_Child(way, work) for way in (*WAYS, *others)]
    history: dict[str, list[dict[str, float]]] = {child.way: [] for child in ways}
    for _ in range(epochs):
        for child in ways:
            history[child.way].append(child.next_epoch())
    for child in ways:
        child.end()
    plain = history[WAYS[0]][-1]
    return [
        {
            "data": name,
            "way": way,
            "epochs": epochs,
            "seconds of each epoch": ", ".join(f"{row['seconds']:.2f}" for row in history[way]),
            "processor seconds of the last": f"{history[way][-1]['processor']:.2f}",
            "times as fast": f"{plain['seconds'] / history[way][-1]['seconds']:.1f}",
            "by processor seconds": f"{plain['processor'] / history[way][-1]['processor']:.1f}",
            "top-1": f"{history[way][-1]['top1']:.1%}",
        }
        for way in history
    ]


class _Child:
    """A process that trains one epoch whenever it is told to."""

    def __init__(self, way: str, work: dict[str, Any]) -> None:
        self.way = way
        command = [sys.executable, "-m", "benchmarks.training", "--child", way, json.dumps(work)]
        environment = {**os.environ, "IKOMIA_AUTO_COMPLETION": "False"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=REPOSITORY,
            env=environment,
        )

    def next_epoch(self) -> dict[str, float]:
        self._tell("go")
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"the {self.way} ended with {self._process.wait()} before its epoch did")

    def end(self) -> None:
        self._process.stdin.close()
        # What it still prints must not fill the pipe.
        self._process.stdout.read()
        self._process.wait()

    def _tell(self, word: str) -> None:
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()


class _Turn:
    """Tells the parent of an epoch and waits for its word. The first one includes what comes before it."""

    def __init__(self) -> None:
        self._since = time.process_time()

    def over(self, row: dict[str, float]) -> None:
        now = time.process_time()
        print(json.dumps({**row, "processor": now - self._since}), flush=True)
        self._since = now
        sys.stdin.readline()


def _child(way: str, work: dict[str, Any]) -> None:
    if way == WAYS[0]:
        _plain(work)
    else:
        _ours(work, torch_compile=way == COMPILED, image_cache=way != WITHOUT_COPIES)


def _plain(work: dict[str, Any]) -> None:
    from benchmarks.plain_loop import epochs

    dataset = Path(work["dataset"])
    sys.stdin.readline()
    turn = _Turn()
    for row in epochs(dataset, work["input_size"], work["epochs"], BATCH_SIZE, work["frozen"]):
        turn.over(row)


def _ours(work: dict[str, Any], **options: bool) -> None:
    # Its OpenCV decodes the images.
    import ikomia  # noqa: F401

    from train_torchvision_resnext.parameters import read_host_map
    from train_torchvision_resnext.run.progress import Listener, Row
    from train_torchvision_resnext.training import train

    def on_epoch(row: Row) -> None:
        turn.over({"epoch": row["epoch"], "seconds": row["seconds"], "top1": row["val_top1"]})

    with tempfile.TemporaryDirectory() as scratch:
        values = {
            "weights": "none",
            "input_size": work["input_size"],
            "epochs": work["epochs"],
            "batch_size": BATCH_SIZE,
            "output_folder": scratch,
            "export_pth": False,
            **options,
        }
        if work["frozen"]:
            values |= {"weights": _random_weights(Path(scratch)), "feature_extract": True, "augmentation": "none"}
        sys.stdin.readline()
        turn = _Turn()
        train(Path(work["dataset"]), read_host_map(values), Listener(epoch=on_epoch))


def _random_weights(folder: Path) -> str:
    """Features of random weights tell little, but take as long as others."""
    import torch
    from torchvision.models import resnext50_32x4d

    path = folder / "random.pth"
    torch.save(resnext50_32x4d(num_classes=10).state_dict(), path)
    return str(path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder with train/ and val/ of class folders")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _parse()
    if arguments.child:
        _child(arguments.child[0], json.loads(arguments.child[1]))
    else:
        print(markdown(main(arguments.photos)))
