"""`kill -9` of the command, of Ray's driver, of a worker of Ray's, and of a process of a training: what is left of it.

`python -m benchmarks durability`. Without Ray (`requirements-scale.txt`) the two in the middle are left out.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.durability.small_images import read_paths, start_command, write_small
from benchmarks.interruptions import ENDLESS
from benchmarks.training import write_digits
from examples.ikomia_home import REPOSITORY, use_own_home

ROWS, DAMAGED = 1200, 12
ON_RAY = ("--on", "ray", "--ray-workers", "2")

Process = Any
"""Of psutil's."""


def main() -> list[dict[str, Any]]:
    """A row for each process that was killed."""
    use_own_home()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "digits"
        write_small(folder, ROWS)
        for file in sorted(folder.rglob("*.png"))[:: ROWS // DAMAGED]:
            file.write_bytes(b"damaged")
        rows = [killed("the command", folder, Path(place) / "command")]
        if importlib.util.find_spec("ray"):
            rows.append(killed("Ray's driver", folder, Path(place) / "driver", *ON_RAY))
            rows.append(killed("a worker of Ray's", folder, Path(place) / "worker", *ON_RAY, of=worker_of))
        rows.append(killed_rank(write_digits(Path(place) / "training"), Path(place) / "runs"))
    return rows


def itself(process: "subprocess.Popen[str]") -> Process:
    return psutil.Process(process.pid)


def worker_of(process: "subprocess.Popen[str]") -> Process:
    """A process of Ray's that holds a classifier."""
    family = psutil.Process(process.pid).children(recursive=True)
    return next(each for each in family if "ray::MapWorker" in " ".join(each.cmdline()))


def killed(
    what: str, folder: Path, table: Path, *options: str, of: Callable[["subprocess.Popen[str]"], Process] = itself
) -> dict[str, Any]:
    """Kill it when a quarter of the parts is written, and let the same command go on if that has ended it."""
    process = start_command(folder, table, *options)
    while process.poll() is None and len(list(table.glob("part-*"))) * 32 < ROWS // 4:
        time.sleep(0.005)
    of(process).kill()
    said = process.communicate()[1]
    then = len(read_paths(table))
    again = process.returncode != 0
    if again:
        said = start_command(folder, table, *options).communicate()[1]
    paths = Counter(read_paths(table))
    return {
        "killed": what,
        "rows that were left": then if again else "the job went on",
        "rows in the end": sum(paths.values()),
        "images": len(paths),
        "twice": sum(each - 1 for each in paths.values()),
        "errors": errors_in(table),
        "blocks and workers": next((line for line in said.splitlines() if "parts for" in line), ""),
    }


def errors_in(table: Path) -> int:
    """Rows of images that could not be read."""
    from pyarrow import dataset

    errors = dataset.dataset(table, format="parquet").to_table(columns=["error"])["error"]
    return len(errors) - int(errors.null_count)


def killed_rank(dataset: Path, runs: Path) -> dict[str, Any]:
    """Kill one of two processes of a training in its second epoch. Returns: a row with the training's last message."""
    settings = [
        f"{key}={value}"
        for key, value in {**ENDLESS, "devices": "2", "batch_size": "64", "output_folder": str(runs)}.items()
    ]
    command = [sys.executable, "-u", "-m", "train_torchvision_resnext", str(dataset), "--set", *settings]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    said = iter(process.stdout or ())
    next(line for line in said if "epoch 2 of" in line)
    family = psutil.Process(process.pid).children(recursive=True)
    # Its own children, which have its environment, are younger.
    min((each for each in family if each.environ().get("RANK") == "1"), key=psutil.Process.create_time).kill()
    last = [line for line in said if line.strip()][-1]
    return {"killed": "one of two processes of a training", "message": f"{last.strip()} (exit {process.wait()})"}
