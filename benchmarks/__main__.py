"""Run every benchmark; write `bench/results.json`, `bench/results.md` and plots."""

import argparse
import json
import logging
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks import bad_inputs, memory, parity
from benchmarks.table import markdown
from examples.ikomia_home import REPOSITORY

FOLDER = REPOSITORY / "bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos for the parity figures")
    arguments = parser.parse_args()
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    FOLDER.mkdir(exist_ok=True)
    results = {
        # First, so that the curve is of a fresh process.
        "Memory over a video": memory.main(FOLDER),
        "Parity with torchvision": parity.main(arguments.photos),
        "Bad inputs": bad_inputs.main(),
    }
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"
    (FOLDER / "results.json").write_text(json.dumps({"machine": machine, **results}, indent=2), encoding="utf-8")
    text = f"{machine}\n\n" + "\n\n".join(f"## {title}\n\n{markdown(rows)}" for title, rows in results.items()) + "\n"
    (FOLDER / "results.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
