"""What a power cut leaves of files, of a bulk job and of a training, on a real file system.

`python -m benchmarks.durability.power_cut [COMMIT ...]`, as root on Linux; each COMMIT is an earlier version to compare
with. The command works on ext4 in a file. The file system is then shut down without writing its journal, as when the
power fails, and mounted again: what had not reached the disk is lost. Then the same command runs once more.
"""

import fcntl
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.against import checked_out
from benchmarks.durability.small_images import DIGITS, write_small
from benchmarks.table import markdown
from examples.digits import Digits, training_and_held_out, write_class_folders
from examples.ikomia_home import REPOSITORY, use_own_home

SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
"""EXT4_IOC_SHUTDOWN."""
WITHOUT_JOURNAL = 2
DISK_BYTES = 2**30
COMMITTED_S = 8
"""ext4 commits names every 5 s, and allocates contents up to 30 s later: in between, files are there and empty."""

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


class Disk:
    """An ext4 file system of its own, mounted at `place`."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.place], check=True)
        if not self.place.is_mount():
            raise RuntimeError(f"{self.place} is no file system of its own")

    def cut(self) -> None:
        """Everything that has not reached the disk is lost, and nothing more reaches it."""
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
        finally:
            os.close(handle)

    def restart(self) -> None:
        self.close()
        self._mount()

    def close(self) -> None:
        # What the command has started may take a moment to end.
        for last in (False, False, False, True):
            if subprocess.run(["umount", self.place], check=last).returncode == 0:
                return
            time.sleep(1)


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


def main(commits: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each version, work and moment. Raises: OSError, CalledProcessError: no file system can be mounted."""
    use_own_home()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        versions = {"now": REPOSITORY}
        for commit in commits:
            checked_out(REPOSITORY, commit, versions.setdefault(commit, Path(scratch) / commit))
        for version, tree in versions.items():
            rows += [{"version": version, **interrupted(files(), tree, seconds)} for seconds in (0, COMMITTED_S)]
        works = (bulk(Path(scratch) / "images"), training(Path(scratch) / "digits"))
        for version, tree in versions.items():
            for work in works:
                for seconds in (None, 0, COMMITTED_S):
                    rows.append({"version": version, **interrupted(work, tree, seconds)})
                    print(rows[-1], file=sys.stderr)
    return rows


def interrupted(work: Work, tree: Path, seconds: int | None) -> dict[str, Any]:
    """Cut the power so long after the last file is there; None = in the middle of the work. Then let it go on."""
    with tempfile.TemporaryDirectory() as scratch:
        disk = Disk(Path(scratch) / "image", Path(scratch) / "disk")
        output = disk.place / "output"
        try:
            process = started(tree, work.arguments(output))
            is_ready = work.is_halfway if seconds is None else work.is_written
            while process.poll() is None and not is_ready(output):
                time.sleep(0.01)
            # The command itself may take longer to end, and the system to write on its own meanwhile.
            time.sleep(seconds or 0)
            disk.cut()
            process.kill()
            process.communicate()
            disk.restart()
            left = work.left(output)
            said = "" if work.name == "files" else end(started(tree, work.arguments(output)))
            return {
                "what": work.name,
                "power cut": "in the middle" if seconds is None else f"{seconds} s after its last file",
                "left": left,
                "the same command says": said,
                "then": work.left(output) if said else "",
            }
        finally:
            disk.close()


def started(tree: Path, arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def end(process: "subprocess.Popen[str]") -> str:
    """Wait for a command. Returns: the line that says what came of it."""
    lines = [line.strip() for line in process.communicate()[0].splitlines() if line.strip()]
    telling = [line for line in lines if "rows in" in line or line.startswith(("resume", "started"))]
    return (telling or lines or [""])[-1][-160:] + (f" (exit {process.returncode})" if process.returncode else "")


def files() -> Work:
    def never(output: Path) -> bool:
        return False

    return Work("files", lambda output: ["-c", FILES, str(output)], never, never, files_left)


def files_left(output: Path) -> str:
    """Of each file whether it is there, and whether it is empty."""
    found = [path for path in output.rglob("*") if path.is_file()]
    return f"{len(found)} of 17 files, {sum(not path.stat().st_size for path in found)} empty"


def bulk(images: Path) -> Work:
    write_small(images, ROWS)
    settings = [f"{key}={value}" for key, value in {**DIGITS, "runtime": "torch"}.items()]
    command = ["-c", COMMAND, "infer_torchvision_resnext", "classify", str(images)]
    return Work(
        "bulk",
        lambda output: [*command, str(output), "--set", *settings],
        lambda output: len(list(output.glob("part-*"))) >= PARTS // 2,
        lambda output: len(list(output.glob("part-*"))) >= PARTS,
        rows_left,
    )


def rows_left(output: Path) -> str:
    """Parts and images that can be read."""
    parts = [paths_of(part) for part in sorted(output.glob("part-*"))]
    paths = Counter(path for part in parts for path in part)
    return f"{len(parts)} parts, {parts.count([])} damaged; {sum(paths.values())} rows of {len(paths)} images"


def paths_of(part: Path) -> list[str]:
    """Of its rows; none where it cannot be read."""
    from pyarrow import ArrowException, parquet

    try:
        paths: list[str] = parquet.read_table(part, columns=["path"])["path"].to_pylist()
    except (ArrowException, OSError):
        return []
    return paths


def training(dataset: Path) -> Work:
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
        lambda output: any(run_left(run).startswith("finished, model") for run in output.glob("2*")),
        models_left,
    )


def models_left(output: Path) -> str:
    """Of each run: what `run.json` says, the checkpoints and the model folder."""
    return "; ".join(run_left(run) for run in sorted(output.glob("2*"))) or "no run"


def run_left(run: Path) -> str:
    from infer_torchvision_resnext.resnext.folder.model_folder import read_config
    from infer_torchvision_resnext.resnext.folder.weight_files import read_state
    from infer_torchvision_resnext.resnext.folder.whole import sha256_of

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


if __name__ == "__main__":
    print(markdown(main(sys.argv[1:])))
