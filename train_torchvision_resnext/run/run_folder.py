"""One training is one folder: what it was told, where it stands, and in the end the model.

`run.json` says what is trained on what; `epochs/` holds all figures of each epoch; `checkpoints/` the state after the
last whole epoch and the best network so far, while training lasts; `model/` is the model folder. Nothing in it is
ever unpickled but tensors.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ..parameters.task import Parameters
from ..resnext.machine.disk import remove_drafts, whole_file
from ..resnext.machine.durability import make_folder

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 2
"""2: the state to resume from is no longer Lightning's."""

RUN = "run.json"
MODEL = "model"
ABANDONED_S = 3600
"""A draft this old beside the runs was left by a process that was killed."""


class RunFolderError(ValueError):
    """The run cannot be written or resumed; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """What is trained on what.

    Attributes:
        fingerprint, labels: of the dataset.
        costs: the digest of what wrong answers cost; empty where nobody said.
        dataset: its folder.
    """

    parameters: Parameters
    fingerprint: str
    labels: Sequence[str]
    costs: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / MODEL

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def epochs(self) -> Path:
        """All figures of each epoch."""
        return self.path / "epochs"

    @property
    def mlflow_run(self) -> Path:
        """Where it is remembered which of MLflow's runs this is."""
        return self.checkpoints / "mlflow_run.txt"

    def abandoned(self) -> "list[RunFolder]":
        """Other runs beside this one that are not finished, and that no process is at."""
        others = (run for run in runs_in(self.path.parent) if run != self)
        return [run for run in others if run.checkpoints.is_dir() and not run.is_in_use]

    def note_epoch(self, number: int, figures: Mapping[str, Any]) -> None:
        """Write all that is known of an epoch, counted from 1; one repeated after an interruption is replaced."""
        path = self.epochs / f"{number:04}.json"
        make_folder(path.parent)
        with whole_file(path) as draft:
            # Without blanks: with a thousand classes the confusion matrix alone takes two megabytes.
            draft.write_text(json.dumps(figures, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")

    @property
    def last(self) -> Path:
        """The state after the last whole epoch."""
        return self.checkpoints / "last.ckpt"

    @property
    def best(self) -> Path:
        """The best network so far and its logits."""
        return self.checkpoints / "best.safetensors"

    def describe(self, job: Job, finished: bool) -> None:
        """Write `run.json`, whole or not at all."""
        content = {
            "format_version": FORMAT_VERSION,
            "finished": finished,
            "dataset": job.dataset,
            "dataset_fingerprint": job.fingerprint,
            "labels": list(job.labels),
            "costs": job.costs,
            "parameters": job.parameters.to_strings(),
        }
        self._write(content)

    def update(self, job: Job) -> None:
        """Write into `run.json` what may have changed since the run began: its parameters, and where its images lie."""
        content = self.read()
        if content != (changed := {**content, "dataset": job.dataset, "parameters": job.parameters.to_strings()}):
            self._write(changed)

    def _write(self, content: Mapping[str, Any]) -> None:
        with whole_file(self.path / RUN) as draft:
            draft.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def read(self) -> dict[str, Any]:
        """The content of `run.json`. Raises: RunFolderError."""
        path = self.path / RUN
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content["format_version"]
            complete = isinstance(content["parameters"], dict) and isinstance(content["dataset_fingerprint"], str)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"resume: {self.path} is not a run folder: {path.name}: {error!r}") from error
        if version != FORMAT_VERSION or not complete:
            raise RunFolderError(
                f"resume: {path} has format_version {version!r}, expected {FORMAT_VERSION}: another version of this "
                "plugin began the run. Finish it with that one, or start over, with resume empty"
            )
        return dict(content)

    @property
    def epochs_done(self) -> int:
        """Of those whose figures are kept, the last, counted from 1; 0 without any."""
        return max((int(path.stem) for path in self.epochs.glob("[0-9]*.json")), default=0)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from resuming this run meanwhile; the system lets go of it when the process ends, however.

        Raises:
            RunFolderError: another process, or another task of this one, is training in it.
        """
        # Beside the checkpoints, so that it goes with them; not removed here, for another process may wait for it.
        self.checkpoints.mkdir(exist_ok=True)
        try:
            lock = FileLock(self.checkpoints / ".lock", timeout=0, thread_local=False).acquire()
        except Timeout as error:
            raise RunFolderError(f"resume: another process is training in {self.path}") from error
        with lock:
            yield

    @property
    def is_in_use(self) -> bool:
        """Whether another process is training in it."""
        if not self.checkpoints.is_dir():
            return False
        try:
            with self.locked():
                return False
        except RunFolderError:
            return True

    def remove_drafts(self) -> None:
        """Remove what a killed process left half written. Call it with the lock held."""
        for folder in (self.path, self.checkpoints, self.epochs):
            if folder.is_dir():
                remove_drafts(folder)

    def clear(self) -> None:
        """Remove what only an unfinished run needs. Call it when the lock is free: an open file stays on Windows."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def discard_if_empty(self) -> None:
        """Remove a run that has come to nothing: neither a model nor a state to resume from."""
        if not self.model.exists() and not self.last.exists():
            shutil.rmtree(self.path, ignore_errors=True)


def writable(output_folder: Path, dataset: Path) -> None:
    """Make the folder, which must not be within the dataset's, and try to write into it. Raises: RunFolderError."""
    if output_folder.resolve().is_relative_to(dataset.resolve()):
        # Its pictures would be taken for images of a class.
        raise RunFolderError(
            f"output_folder = {str(output_folder)!r} lies within the dataset {str(dataset)!r}: move it out"
        )
    try:
        make_folder(output_folder)
        tempfile.TemporaryFile(dir=output_folder).close()
        remove_drafts(output_folder, ABANDONED_S)
    except OSError as error:
        raise RunFolderError(
            f"output_folder = {str(output_folder)!r} cannot be written to: {error.strerror}"
        ) from error


def room_for(network: "torch.nn.Module", output_folder: Path) -> None:
    """Check that a training fits on the disk. Raises: RunFolderError."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    # Network, its average and two moments in the state, the best network, each with the one it replaces.
    needed = 10 * weights
    free = shutil.disk_usage(output_folder).free
    if free < needed:
        raise RunFolderError(
            f"output_folder = {str(output_folder)!r} has {free / 1e6:,.0f} MB left, training may take "
            f"{needed / 1e6:,.0f}: make room, or set it to another disk"
        )


def runs_in(output_folder: Path) -> list[RunFolder]:
    """Oldest first."""
    return [RunFolder(path.parent) for path in sorted(output_folder.glob(f"*/{RUN}"))]


def new_place(output_folder: Path) -> Path:
    name = time.strftime("%Y-%m-%d_%H-%M-%S")
    place, number = output_folder / name, 2
    while place.exists():
        place, number = output_folder / f"{name}_{number}", number + 1
    return place
