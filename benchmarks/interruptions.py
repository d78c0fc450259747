"""A training ended in six ways, through Ikomia: what is left of it, and what it says.

`python -m benchmarks.interruptions` shows all of them on small pictures of digits. Each is a process of its own, so
that signals and disks are real ones. The full disk needs Linux, which makes a small one for it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.digits import Digits, training_and_held_out, write_class_folders
from examples.ikomia_home import REPOSITORY, use_own_home

ENDLESS = {
    "weights": "none",
    "layers": "1,1",
    "cardinality": "4",
    "bottleneck_width": "8",
    "input_size": "16",
    "batch_size": "8",
    "epochs": "5000",
    "scheduler": "none",
    "precision": "fp32",
    "device": "cpu",
}
"""Parameters of a training of small epochs that does not end by itself."""
FULL_DISK = "full disk"
DISK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Ending:
    """How a training ended.

    Attributes:
        code: the process's exit status, negative for a signal.
        said: what it wrote to the terminal, without the progress bar.
        left: files of the run's folder, without those in the model folder and the figures of each epoch.
        model: files of the model folder.
    """

    way: str
    code: int
    said: str
    left: tuple[str, ...]
    model: tuple[str, ...]


def end(way: str, dataset: Path, output: Path, **parameters: str) -> Ending:
    """Train on a dataset in a process of its own, and end it in one of the ways of `WAYS`."""
    output.mkdir(parents=True, exist_ok=True)
    settings = [f"{key}={value}" for key, value in {**ENDLESS, "output_folder": str(output), **parameters}.items()]
    command = [sys.executable, "-m", "benchmarks.interruptions", "child", way, str(dataset), *settings]
    if way == FULL_DISK:
        # The disk belongs to this process alone, so that it has to say itself what is left on it.
        listing = (
            f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "$0" && "$@"; code=$?; cd "$0"; find . -type f; exit $code'
        )
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", listing, str(output), *command]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "IKOMIA_AUTO_COMPLETION": "False"},
    )
    if way in SIGNALS:
        _wait(lambda: bool(list(output.glob("*/checkpoints/last.ckpt"))), child)
        child.send_signal(SIGNALS[way])
    said, _ = child.communicate(timeout=300)
    lines = [line.rpartition("\r")[2] for line in said.splitlines()]
    if way == FULL_DISK:
        files = [line.partition("/")[2].partition("/")[2] for line in lines if line.startswith("./2")]
        lines = [line for line in lines if not line.startswith("./")]
    else:
        files = [path.relative_to(output / path.relative_to(output).parts[0]).as_posix() for path in _files(output)]
    return Ending(
        way,
        child.returncode,
        "\n".join(lines),
        tuple(sorted(file for file in files if not file.startswith(("model/", "epochs/")))),
        tuple(sorted(file.removeprefix("model/") for file in files if file.startswith("model/"))),
    )


SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "kill -9": getattr(signal, "SIGKILL", signal.SIGTERM)}
WAYS = ("Stop at 0.4 s", "Stop in an epoch", *SIGNALS, FULL_DISK)


def _files(output: Path) -> list[Path]:
    return [path for path in output.glob("*/**/*") if path.is_file()]


def _wait(ready: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    while not ready() and child.poll() is None:
        time.sleep(0.01)


def _train(way: str, dataset: str, settings: list[str]) -> None:
    """In the child: one real workflow, tracked in files, so that no server stays behind."""
    from ikomia.core import config
    from ikomia.dataprocess.workflow import Workflow

    config.main_cfg["mlflow"]["tracking_uri"] = Path(config.main_cfg["mlflow"]["store_uri"]).as_uri()
    config.main_cfg["tensorboard"]["tracking_uri"] = ""
    workflow = Workflow()
    workflow.set_directory_input(folder=dataset)
    task = workflow.add_task(name="train_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    parameters = dict(setting.split("=", 1) for setting in settings)
    task.set_parameters(parameters)
    output = Path(parameters["output_folder"])
    if way == "Stop at 0.4 s":
        threading.Timer(0.4, task.stop).start()
    elif way == "Stop in an epoch":
        threading.Thread(target=_after_an_epoch, args=(output, task.stop), daemon=True).start()
    elif way == FULL_DISK:
        threading.Thread(target=_after_an_epoch, args=(output, lambda: _fill(output)), daemon=True).start()
    workflow.run()
    results = task.get_output(1).data
    print(f"stopped = {results['stopped']}, epochs = {len(results['history'])}, model = {results['model_folder']!r}")


def _after_an_epoch(output: Path, act: Callable[[], None]) -> None:
    while not list(output.glob("*/checkpoints/last.ckpt")):
        time.sleep(0.01)
    act()


def _fill(disk: Path) -> None:
    with (disk / "something else").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        _train(sys.argv[2], sys.argv[3], sys.argv[4:])
        return
    use_own_home()
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Path(scratch) / "digits"
        _, held_out = training_and_held_out()
        write_class_folders(Digits(held_out.images[:60], held_out.digits[:60]), dataset)
        for number, way in enumerate(WAYS):
            ending = end(way, dataset, Path(scratch) / str(number))
            print(f"## {way}\n\nexit code {ending.code}; left: {', '.join(ending.left) or 'nothing'}")
            print(f"model: {', '.join(ending.model) or 'none'}\n")
            print("\n".join(f"    {line}" for line in ending.said.splitlines()[-14:]), end="\n\n")


if __name__ == "__main__":
    main()
