"""What waiting for the disk costs a bulk job and a training: `python -m benchmarks durability`.

The same files are written by turns with and without it, in the temporary folder, which should lie on a real disk.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.interleaved import time_in_turns
from infer_torchvision_resnext.resnext.machine.disk import whole_file

ROUNDS = 15
WORKS: Mapping[str, Mapping[str, int]] = {
    "a part of 1,000 rows": {"part-000000.parquet": 100_000},
    "an epoch of the digits' network": {"0001.json": 5_000, "best.safetensors": 2_000_000, "last.ckpt": 4_000_000},
    "an epoch of ResNeXt-50": {"0001.json": 20_000, "best.safetensors": 100_000_000, "last.ckpt": 200_000_000},
}
"""Names and bytes of the files that are written."""


def main(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Returns: a row for each work, in milliseconds: median and quartiles."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for work, files in WORKS.items():
            ways = {
                name: partial(write, Path(place), files, durable)
                for name, durable in (("without", False), ("synchronized", True))
            }
            timings = time_in_turns(ways, rounds, warm=1, just_before=False)
            more = timings["synchronized"].median - timings["without"].median
            row = {name: str(timing) for name, timing in timings.items()}
            rows.append({"what is written": work, **row, "more, ms": f"{more:.1f}"})
    return rows


def write(folder: Path, files: Mapping[str, int], durable: bool) -> None:
    for name, size in files.items():
        with whole_file(folder / name, durable) as draft:
            draft.write_bytes(bytes(size))
