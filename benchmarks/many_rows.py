"""100,000 small images through the bulk command, which is killed three times at random; its memory is drawn.

`python -m benchmarks.many_rows [COUNT] [KILLS]`. The images are made in a temporary folder.
"""

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.bulk import command
from benchmarks.memory import plot
from benchmarks.table import markdown
from examples.ikomia_home import REPOSITORY, use_own_home

ROWS, KILLS = 100_000, 3
PLOTS = REPOSITORY / "bench"
EACH_S = 0.5
"""Between two looks at the memory."""

DIGITS = {"weights": str(REPOSITORY / "examples" / "models" / "digits"), "device": "cpu", "top_k": "1"}


def main(count: int = ROWS, kills: int = KILLS, plots: Path = PLOTS) -> list[dict[str, Any]]:
    """Small images through the command, killed at random; memory of the process while it runs to the end.

    The curve is drawn in `plots`.
    """
    use_own_home()
    with tempfile.TemporaryDirectory() as place:
        folder, table = Path(place) / "digits", Path(place) / "table"
        write_small(folder, count)
        seed = random.Random(0)
        for _ in range(kills):
            before = len(list(table.glob("part-*")))
            process = started(folder, table)
            wanted = before + seed.randint(1, max(1, count // 1000 // (kills + 2)))
            while len(list(table.glob("part-*"))) < wanted and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            process.wait()
            print(f"killed with {len(list(table.glob('part-*')))} parts written")
        memory = _memory_of(started(folder, table))
        paths = Counter(paths_in(table))
    plots.mkdir(exist_ok=True)
    seconds = [place * EACH_S for place in range(len(memory))]
    plot(seconds, memory, "seconds since the last start", f"{sum(paths.values()):,} rows", plots / "bulk_memory.png")
    third = max(1, len(memory) // 3)
    return [
        {
            "rows": sum(paths.values()),
            "images": len(paths),
            "rows too many": sum(each - 1 for each in paths.values()),
            "kills": kills,
            "MiB, second third": f"{np.median(memory[third : 2 * third]):.0f}",
            "MiB, last third": f"{np.median(memory[2 * third :]):.0f}",
        }
    ]


def write_small(folder: Path, count: int) -> None:
    """PNG files of handwritten digits, a thousand in each folder."""
    from examples.digits import training_and_held_out

    digits = training_and_held_out()[1].images
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[number % len(digits)]).save(place / f"{number:07}.png")


def started(folder: Path, table: Path, *options: str) -> "subprocess.Popen[str]":
    """The command on a folder, with the digits model; what it says is in `stderr`."""
    return subprocess.Popen(
        command(folder, table, *options, settings=DIGITS),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _memory_of(process: "subprocess.Popen[str]") -> list[float]:
    """Resident memory in MiB of the process and its children, each half second until it ends."""
    import psutil

    parent, curve = psutil.Process(process.pid), []
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            curve.append(sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / 2**20)
        time.sleep(EACH_S)
    return curve


def paths_in(table: Path) -> list[str]:
    """Of all rows."""
    from pyarrow import dataset

    paths: list[str] = dataset.dataset(table, format="parquet").to_table(columns=["path"])["path"].to_pylist()
    return paths


if __name__ == "__main__":
    print(markdown(main(*map(int, sys.argv[1:]))))
