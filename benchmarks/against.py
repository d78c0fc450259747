"""This version beside an earlier one: whole runs through Ikomia in turns, and cold processes to their first answer.

`python -m benchmarks.against COMMIT [ROUNDS]`. Each version runs in a process of its own, with its own benchmarks,
model and home; the other waits meanwhile.
"""

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

ROUNDS = 15
CASES = ("1 MP fp32", "1 MP bf16", "12 MP fp32", "12 MP bf16", "16 objects fp32", "16 objects bf16")

COLD = """
from examples.ikomia_home import DEMO, use_own_home
use_own_home()
import numpy as np
from ikomia.dataprocess.workflow import Workflow
workflow = Workflow("cold")
task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
folder = str(DEMO / "speed_models" / "resnext50_32x4d")
task.set_parameters({"weights": folder, "device": "cpu", "precision": "fp32"})
workflow.run_on(array=np.full((1000, 1000, 3), 128, np.uint8))
"""


def main(commit: str, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    from benchmarks.interleaved import time_in_turns
    from examples.ikomia_home import REPOSITORY
    from infer_torchvision_resnext.resnext.machine.devices import cpu_computes_bf16

    cases = [case for case in CASES if cpu_computes_bf16() or not case.endswith("bf16")]
    rows = []
    with tempfile.TemporaryDirectory() as place, ExitStack() as processes:
        earlier = Path(place) / "earlier"
        checked_out(REPOSITORY, commit, earlier)
        versions = {"earlier": earlier, "now": REPOSITORY}
        running = {name: processes.enter_context(started(tree)) for name, tree in versions.items()}
        for case in cases:
            timings = time_in_turns({name: asking(process, case) for name, process in running.items()}, rounds)
            rows.append(row(case, timings))
        cold = {
            name: partial(subprocess.run, [sys.executable, "-c", COLD], cwd=tree, check=True, stdout=DEVNULL)
            for name, tree in versions.items()
        }
        rows.append(row("cold process, 1 MP fp32", time_in_turns(cold, rounds, warm=1)))
    return rows


def row(what: str, timings: dict[str, Any]) -> dict[str, Any]:
    now, earlier = timings["now"], timings["earlier"]
    return {"what": what, "earlier, ms": str(earlier), "now, ms": str(now), "now / earlier": f"{now.over(earlier):.3f}"}


def checked_out(repository: Path, commit: str, folder: Path) -> None:
    archive = subprocess.run(["git", "archive", commit], cwd=repository, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def started(tree: Path) -> "subprocess.Popen[str]":
    """A process of that version, which runs each case that it is asked for."""
    # This file, with the benchmarks of that tree.
    program = f"from runpy import run_path; run_path({__file__!r})['answer']()"
    return subprocess.Popen([sys.executable, "-c", program], cwd=tree, stdin=PIPE, stdout=PIPE, text=True)


def asking(process: "subprocess.Popen[str]", case: str) -> Callable[[], None]:
    def ask() -> None:
        assert process.stdin
        assert process.stdout
        print(case, file=process.stdin, flush=True)
        while (line := process.stdout.readline()) != "done\n":
            if not line:
                raise RuntimeError(f"the process ended with exit status {process.wait()}")

    return ask


def answer() -> None:
    """Run what is asked for, a line of the input each, with the plugin of the current folder."""
    from examples.ikomia_home import use_own_home

    use_own_home()
    runs: dict[str, Callable[[], object]] = {}
    for case in map(str.strip, sys.stdin):
        if case not in runs:
            runs[case] = run_of(case)
        runs[case]()
        print("done", flush=True)


def run_of(case: str) -> Callable[[], object]:
    from benchmarks.speed import HD, MAIN, ONE_MEGAPIXEL, TWELVE_MEGAPIXELS, boxes, frame, our_run
    from benchmarks.speed_models import model_folder

    what, precision = case.rsplit(" ", 1)
    shape = {"1 MP": ONE_MEGAPIXEL, "12 MP": TWELVE_MEGAPIXELS}.get(what, HD)
    found = boxes(16, *HD) if what == "16 objects" else None
    return our_run(model_folder(MAIN), frame(*shape), found, precision=precision)


if __name__ == "__main__":
    from benchmarks.table import markdown

    print(markdown(main(sys.argv[1], *map(int, sys.argv[2:]))))
