"""Run the tests and a workflow in the oldest, the HUB's and the newest versions that the requirements allow.

`python -m tools.version_matrix [LEG ...] [--quick]`. Each leg has a virtual environment of its own, installed by uv
(about 7 GB each). A leg without its Python interpreter is skipped, and the table says so. The table with its date goes
to `docs/versions.md` once every leg was asked for, otherwise it is printed only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from examples.ikomia_home import link

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "versions.md"
PACKAGES = (
    "torch",
    "torchvision",
    "openvino",
    "onnxruntime",
    "onnx",
    "onnxscript",
    "numpy",
    "pillow",
    "pydantic",
    "safetensors",
    "nncf",
)

QUICK = (
    "tests/infer_torchvision_resnext/resnext/network/test_conversion.py",
    "tests/infer_torchvision_resnext/resnext/folder/test_quantization.py",
    "tests/infer_torchvision_resnext/runtimes/test_openvino_runtime.py",
    "tests/infer_torchvision_resnext/runtimes/test_onnxruntime_runtime.py",
    "tests/infer_torchvision_resnext/runtimes/test_selection.py",
    "tests/train_torchvision_resnext/results/test_export.py",
)
"""Tests of what depends most on versions: conversion, int8 and runtimes."""


@dataclass(frozen=True)
class Leg:
    """Versions to test.

    Attributes:
        python: such as `3.11`.
        pins: requirements beside the repository's.
        resolution: as `uv pip install --resolution` takes it.
        without: packages of the repository's requirements that would raise the minimum of one of the plugins'.
    """

    name: str
    python: str
    pins: tuple[str, ...] = ()
    resolution: str = "highest"
    without: tuple[str, ...] = ()

    def requirements(self) -> str:
        """What to install, as a requirements file in the repository's root."""
        lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
        return "\n".join([*(line for line in lines if not line.startswith(self.without)), *self.pins])


LEGS = (
    Leg("hub", "3.11", ("torch==2.7.1", "torchvision==0.22.1")),
    # pillow-heif 1.8 requires Pillow 11.1; tests of HEIC are skipped without it.
    Leg("oldest", "3.10", ("torch==2.6.0", "torchvision==0.21.0"), "lowest-direct", ("pillow-heif",)),
    Leg("newest", "3.13"),
)


@dataclass(frozen=True)
class Result:
    """What became of a leg; `skipped` says why it could not run."""

    leg: Leg
    versions: str = ""
    tests: str = ""
    workflow: str = ""
    failed: bool = False
    skipped: str = ""

    def row(self) -> str:
        """Of a Markdown table."""
        cells = [self.leg.name, self.leg.python, self.versions, self.tests or self.skipped, self.workflow]
        return f"| {' | '.join(cells)} |"


def find_interpreter(python: str) -> str | None:
    """Path of an interpreter of that version that starts: on PATH, or installed by pyenv; none is downloaded."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(map(str, pyenv.glob(f"{python}.*/bin/python")), reverse=True)
    for candidate in (shutil.which(f"python{python}"), *installed):
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        if candidate:
            done = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
            if done.stdout.strip() == python:
                return candidate
    return None


def run_leg(leg: Leg, folder: Path, quick: bool) -> Result:
    """Install a leg's versions and test with them. Raises: CalledProcessError where they cannot be installed."""
    interpreter = find_interpreter(leg.python)
    if interpreter is None:
        return Result(leg, skipped=f"not run: there is no Python {leg.python} on this machine")
    environment = folder / leg.name
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    uv = [sys.executable, "-m", "uv"]
    if not python.exists():
        subprocess.run([*uv, "venv", "--quiet", "--python", interpreter, str(environment)], check=True)
    install = [*uv, "pip", "install", "--quiet", "--python", str(python), "--resolution", leg.resolution]
    subprocess.run([*install, "-r", "-"], cwd=REPOSITORY, input=leg.requirements(), text=True, check=True)
    tests, tests_failed = run_tests(python, QUICK if quick else ("tests",))
    workflow, workflow_failed = run_workflow(python)
    return Result(leg, installed_versions(python), tests, workflow, tests_failed or workflow_failed)


def run_tests(python: Path, files: Sequence[str]) -> tuple[str, bool]:
    """How many tests passed, failed and were skipped, in how many minutes; whether any failed."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *files]
        done = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
        if not report.exists():
            return f"pytest ended with status {done.returncode}", True
        counts = ElementTree.parse(report).getroot()[0].attrib
    failed = int(counts["failures"]) + int(counts["errors"])
    passed = int(counts["tests"]) - failed - int(counts["skipped"])
    minutes = (time.monotonic() - start) / 60
    return f"{passed} passed, {failed} failed, {counts['skipped']} skipped in {minutes:.0f} min", bool(failed)


def run_workflow(python: Path) -> tuple[str, bool]:
    """Which runtimes answered as torch does after a training; whether any did not."""
    with tempfile.TemporaryDirectory() as home:
        plugins = Path(home) / "Ikomia" / "Plugins" / "Python"
        plugins.mkdir(parents=True)
        for plugin in ("infer_torchvision_resnext", "train_torchvision_resnext"):
            link(REPOSITORY / plugin, plugins / plugin)
        own = {"HOME": home, "USERPROFILE": home, "IKOMIA_AUTO_COMPLETION": "False", "MPLBACKEND": "Agg"}
        command = [str(python), "-m", "tools.version_workflow"]
        environment = {**os.environ, **own, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return f"failed with status {done.returncode}", True
    answers = json.loads(lines[-1])
    text = ", ".join(
        f"{runtime} → {name}" + ("" if share == 1 else f" ({share:.0%} as torch)")
        for runtime, (share, name) in answers.items()
    )
    return text, done.returncode != 0


def installed_versions(python: Path) -> str:
    code = "import importlib.metadata as m, sys; print(*(f'{p} {m.version(p)}' for p in sys.argv[1:]), sep=', ')"
    return subprocess.run(
        [str(python), "-c", code, *PACKAGES], capture_output=True, text=True, check=True
    ).stdout.strip()


def page(results: Sequence[Result]) -> str:
    """The table as a Markdown page."""
    today = datetime.now(timezone.utc).date()
    lines = [
        "# Tested versions",
        "",
        f"Written by `make test-matrix` on {today}. Last column: a model of digits, answering in each runtime,",
        "and the runtime that was used.",
        "",
        "| leg | Python | versions | tests | runtimes |",
        "|---|---|---|---|---|",
        *(result.row() for result in results),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.version_matrix", description=__doc__)
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"{', '.join(leg.name for leg in LEGS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="only tests of conversion and runtimes, and the workflow")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".venv-matrix", help="of the environments")
    arguments = parser.parse_args()
    if unknown := {*arguments.legs} - {leg.name for leg in LEGS}:
        parser.error(f"unknown leg {', '.join(sorted(unknown))}: choose from {', '.join(leg.name for leg in LEGS)}")
    wanted = [leg for leg in LEGS if not arguments.legs or leg.name in arguments.legs]
    results = []
    for leg in wanted:
        results.append(run_leg(leg, arguments.folder.absolute(), arguments.quick))
        print(results[-1].row(), flush=True)
    if not arguments.legs and not arguments.quick:
        PAGE.write_text(page(results), encoding="utf-8")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
