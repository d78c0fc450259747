"""The works that a power cut interrupts: files, a bulk job and a training; and what is left of them."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.durability.small_images import DIGITS, write_small
from examples.digits import Digits, training_and_held_out, write_class_folders

ROWS, PARTS = 400, 13
TRAINING = {
    "weights": "none",
    "layers": "1,1",
    "cardinality": "4",
    "bottleneck_width": "8",
    "input_size": "16",
    "epochs": "4",
    "precision": "fp32",
    "device": "cpu",
}
COMMAND = """
import runpy, sys
from examples.ikomia_home import use_own_home
use_own_home()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

FILES = """
import sys
from pathlib import Path
try:
    from infer_torchvision_resnext.resnext.machine.disk import whole_file, whole_folder
except ImportError:  # before 2.2
    from infer_torchvision_resnext.resnext.folder.whole import whole_file, whole_folder
output = Path(sys.argv[1])
output.mkdir()
for number in range(13):
    with whole_file(output / f"part-{number}") as draft:
        draft.write_bytes(bytes(4500))
with whole_folder(output / "model") as draft:
    for name, size in {"config.json": 1000, "classes.txt": 10, "model.safetensors": 400_000}.items():
        (draft / name).write_bytes(bytes(size))
with whole_file(output / "run.json") as draft:
    draft.write_bytes(bytes(20))
"""
"""Writes what a job and a training write, in a second."""


@dataclass(frozen=True)
class Work:
    """What is interrupted.

    Attributes:
        arguments: of Python, with the folder that is written.
        is_halfway, is_written: whether the folder shows that it has come to its middle, or to its last file.
        left: what is in that folder, for the table.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    is_halfway: Callable[[Path], bool]
    is_written: Callable[[Path], bool]
    left: Callable[[Path], str]


def make_files_work() -> Work:
    def never(output: Path) -> bool:
        return False

    return Work("files", lambda output: ["-c", FILES, str(output)], never, never, describe_files)


def describe_files(output: Path) -> str:
    """Of each file whether it is there, and whether it is empty."""
    found = [path for path in output.rglob("*") if path.is_file()]
    return f"{len(found)} of 17 files, {sum(not path.stat().st_size for path in found)} empty"


def make_bulk_work(images: Path) -> Work:
    write_small(images, ROWS)
    settings = [f"{key}={value}" for key, value in {**DIGITS, "runtime": "torch"}.items()]
    command = ["-c", COMMAND, "infer_torchvision_resnext", "classify", str(images)]
    return Work(
        "bulk",
        lambda output: [*command, str(output), "--set", *settings],
        lambda output: len(list(output.glob("part-*"))) >= PARTS // 2,
        lambda output: len(list(output.glob("part-*"))) >= PARTS,
        describe_rows,
    )


def describe_rows(output: Path) -> str:
    """Parts and images that can be read."""
    parts = [read_part(part) for part in sorted(output.glob("part-*"))]
    paths = Counter(path for part in parts for path in part)
    return f"{len(parts)} parts, {parts.count([])} damaged; {sum(paths.values())} rows of {len(paths)} images"


def read_part(part: Path) -> list[str]:
    """Read the paths of its rows. Returns: none where the part cannot be read."""
    from pyarrow import ArrowException, parquet

    try:
        paths: list[str] = parquet.read_table(part, columns=["path"])["path"].to_pylist()
    except (ArrowException, OSError):
        return []
    return paths


def make_training_work(dataset: Path) -> Work:
    for part, digits in zip(("train", "val"), training_and_held_out(), strict=True):
        write_class_folders(Digits(digits.images[:150], digits.digits[:150]), dataset / part)
    return Work(
        "training",
        lambda output: [
            *("-c", COMMAND),
            "train_torchvision_resnext",
            str(dataset),
            "--set",
            *(f"{key}={value}" for key, value in {**TRAINING, "output_folder": output, "resume": "auto"}.items()),
        ],
        lambda output: bool(list(output.glob("*/epochs/0003.json"))),
        lambda output: any(describe_run(run).startswith("finished, model") for run in output.glob("2*")),
        describe_runs,
    )


def describe_runs(output: Path) -> str:
    """Of each run: what `run.json` says, the checkpoints and the model folder."""
    return "; ".join(describe_run(run) for run in sorted(output.glob("2*"))) or "no run"


def describe_run(run: Path) -> str:
    from infer_torchvision_resnext.resnext.folder.model_folder import read_config
    from infer_torchvision_resnext.resnext.folder.weight_files import read_state
    from infer_torchvision_resnext.resnext.machine.disk import sha256_of

    try:
        finished = "finished" if json.loads((run / "run.json").read_bytes())["finished"] else "unfinished"
    except (OSError, ValueError) as error:
        finished = f"run.json damaged ({type(error).__name__})"
    state = ", checkpoints" if (run / "checkpoints" / "last.ckpt").is_file() else ""
    model = run / "model"
    if not model.is_dir():
        return f"{finished}{state}, no model"
    try:
        read_state(model / "model.safetensors", read_config(model).network)
    except Exception as error:  # whatever a damaged folder makes a reader raise
        return f"{finished}{state}, model damaged ({type(error).__name__})"
    empty = [path.name for path in model.rglob("*") if path.is_file() and not path.stat().st_size]
    lost = f", empty: {', '.join(sorted(empty))}" if empty else ""
    return f"{finished}{state}, model {sha256_of(model / 'model.safetensors')[:8]}{lost}"
