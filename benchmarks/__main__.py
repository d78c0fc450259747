"""Run benchmarks; write `bench/results.json`, `bench/results.md` and plots.

Without a section named, all of them run. On a GPU: `python -m benchmarks.gpu`. Beside an earlier version:
`python -m benchmarks.against COMMIT`.
"""

import argparse
import json
import logging
import platform
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import bulk, cold_start, damaged_folders, memory, parity, speed, training, trust
from benchmarks.durability import kills, synchronizing
from benchmarks.table import markdown
from examples.ikomia_home import REPOSITORY

FOLDER = REPOSITORY / "bench"

Rows = list[dict[str, Any]]


def cut_power() -> Rows:
    """Power cuts, or the reason why there are none here."""
    try:
        # Only Linux has all that this needs.
        from benchmarks.durability import power_cut

        return power_cut.main()
    except (ImportError, OSError, subprocess.CalledProcessError) as error:
        return [{"not measured": f"needs root on Linux ({error})"}]


SECTIONS: Mapping[str, Mapping[str, Callable[[Path | None], Rows]]] = {
    # First, so that the curve is of a fresh process.
    "memory": {
        "Memory over a video": lambda _: memory.main(FOLDER),
        "Memory over runs": lambda _: memory.repeat_runs(),
    },
    "cold": {"Cold process to first answer": lambda _: cold_start.main()},
    "speed": {
        "Latency at batch 1": lambda _: speed.main("latency", FOLDER),
        "Batches of 32": lambda _: speed.main("batches"),
        "Objects": lambda _: speed.main("objects"),
    },
    "bulk": {"Many images": lambda _: bulk.main()},
    "parity": {"Parity with torchvision": parity.main},
    "damaged": {"Damaged model folders": lambda _: damaged_folders.main()},
    "training": {"Training": training.main},
    "trust": {"What promises are worth": trust.main},
    "durability": {
        "Killed processes": lambda _: kills.main(),
        "Waiting for the disk": lambda _: synchronizing.main(),
        "Power cuts": lambda _: cut_power(),
    },
}
"""Name → titles of its tables → what measures them, with a folder of photos or without one."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--photos", type=Path, help="a folder of photos for the sections parity, training and trust")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sections if name not in SECTIONS]:
        parser.error(f"{unknown[0]!r} is not a section: choose from {', '.join(SECTIONS)}")
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    FOLDER.mkdir(exist_ok=True)
    results: dict[str, Rows] = {}
    for name in SECTIONS:
        if name in (arguments.sections or SECTIONS):
            for title, measure in SECTIONS[name].items():
                results[title] = measure(arguments.photos)
                write(results)
    print((FOLDER / "results.md").read_text(encoding="utf-8"))


def write(results: Mapping[str, Rows]) -> None:
    """Write what was measured so far."""
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"
    (FOLDER / "results.json").write_text(json.dumps({"machine": machine, **results}, indent=2), encoding="utf-8")
    text = f"{machine}\n\n" + "\n\n".join(f"## {title}\n\n{markdown(rows)}" for title, rows in results.items()) + "\n"
    (FOLDER / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
