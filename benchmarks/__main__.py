"""Run benchmarks; write `bench/results.json`, `bench/results.md` and plots.

Without a section named, all of them run but `compiled`, which takes minutes.
"""

import argparse
import json
import logging
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    bad_inputs,
    bulk,
    choices,
    cold_start,
    damaged_folders,
    growth,
    limit,
    memory,
    parity,
    parts,
    processes,
    resizing,
    speed,
    training,
    trust,
    trusted_run,
)
from benchmarks.table import markdown
from examples.ikomia_home import REPOSITORY

FOLDER = REPOSITORY / "bench"

SECTIONS = {
    # First, so that the curve is of a fresh process.
    "memory": ("Memory over a video", lambda _: memory.main(FOLDER)),
    "cold": ("Cold process to first answer", lambda _: cold_start.main()),
    "limit": ("The machine's own limit", lambda _: limit.main()),
    "speed": ("Latency at batch 1", lambda _: speed.main("latency", FOLDER)),
    "parts": ("Where the time of a run goes", lambda _: parts.main()),
    "batches": ("Batches of 32", lambda _: speed.main("batches")),
    "objects": ("Objects", lambda _: speed.main("objects")),
    "bulk": ("Many images", lambda _: bulk.main()),
    "compiled": ("torch.compile", lambda _: speed.main("compiled")),
    "resizing": ("Preprocessing", lambda _: resizing.main()),
    "choices": ("Decisions", lambda _: choices.main()),
    "growth": ("Growth", lambda _: growth.main(FOLDER)),
    "parity": ("Parity with torchvision", parity.main),
    "inputs": ("Bad inputs", lambda _: bad_inputs.main()),
    "damaged": ("Damaged model folders", lambda _: damaged_folders.main()),
    "training": ("Training", training.main),
    "processes": ("Training in processes", lambda _: processes.main()),
    "trust": ("What promises are worth", trust.main),
    "trusted_run": ("What it costs to rely on an answer", lambda _: trusted_run.main()),
}

DEFAULT = [name for name in SECTIONS if name != "compiled"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--photos", type=Path, help="a folder of photos for the parity figures")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sections if name not in SECTIONS]:
        parser.error(f"{unknown[0]!r} is not a section: choose from {', '.join(SECTIONS)}")
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    FOLDER.mkdir(exist_ok=True)
    results = {}
    for name, (title, measure) in SECTIONS.items():
        if name in (arguments.sections or DEFAULT):
            results[title] = measure(arguments.photos)
            write(results)
    print((FOLDER / "results.md").read_text(encoding="utf-8"))


def write(results: dict[str, list[dict[str, str]]]) -> None:
    """Write what was measured so far."""
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"
    (FOLDER / "results.json").write_text(json.dumps({"machine": machine, **results}, indent=2), encoding="utf-8")
    text = f"{machine}\n\n" + "\n\n".join(f"## {title}\n\n{markdown(rows)}" for title, rows in results.items()) + "\n"
    (FOLDER / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
