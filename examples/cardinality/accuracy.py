"""Training every architecture with every seed, one cell at a time.

A finished cell is one JSON file, named by what it is of, so that a comparison that was stopped or killed goes on with
the next one; a training that was interrupted within a cell goes on where its last epoch ended. Several processes can
work in one folder: each takes the cells that no other is at.
"""

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from examples.cardinality.experiment import Experiment
from train_torchvision_resnext.finishing import Result
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.run.progress import Listener, Row
from train_torchvision_resnext.run.resuming import FREE_TO_CHANGE
from train_torchvision_resnext.run.run_folder import RunFolder, RunFolderError
from train_torchvision_resnext.training import train

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Cell:
    """One architecture, trained with one seed.

    Attributes:
        top1: accuracy after the last epoch, whichever was the best: choosing the best by the very images it is then
            judged by would flatter.
        best_top1: of the best epoch.
        images: in the validation part.
        epoch_seconds: by the clock, of each epoch, validation included.
        epoch_processor_seconds: of this process on all its threads; of the epochs after the last interruption.
    """

    architecture: str
    seed: int
    top1: float
    best_top1: float
    loss: float
    images: int
    epoch_seconds: tuple[float, ...]
    epoch_processor_seconds: tuple[float, ...]


def cell_file(experiment: Experiment, folder: Path, architecture: Architecture, seed: int) -> Path:
    """Where the result of a cell is, or will be: the name changes with whatever would change the result."""
    parameters = experiment.parameters(architecture, seed, Path()).to_strings()
    kept = {key: value for key, value in parameters.items() if key not in FREE_TO_CHANGE}
    content = json.dumps([FORMAT_VERSION, kept, experiment.dataset_key], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:12]
    return folder / "cells" / f"{architecture.name}_seed{seed}_{key}.json"


def read_cells(experiment: Experiment, folder: Path) -> dict[Architecture, list[Cell]]:
    """What is finished, by architecture and in the order of the seeds."""
    found: dict[Architecture, list[Cell]] = {}
    for architecture in experiment.architectures:
        files = [cell_file(experiment, folder, architecture, seed) for seed in range(experiment.seeds)]
        found[architecture] = [_read(file) for file in files if file.is_file()]
    return found


def train_cells(experiment: Experiment, folder: Path, stop: Callable[[], bool]) -> bool:
    """Train what is not finished yet. Seed by seed, so that early on every architecture has a first figure.

    Returns:
        Whether every cell is finished now.

    Raises:
        TrainingError: training cannot begin, or broke off; other cells keep what they have.
    """
    if experiment.dataset is None:
        return True
    order = [(one, seed) for seed in range(experiment.seeds) for one in experiment.architectures]
    files = {cell: cell_file(experiment, folder, *cell) for cell in order}
    with tqdm(total=len(order), desc="Trainings", unit="training") as bar:
        for (architecture, seed), file in files.items():
            if not file.is_file() and not stop():
                bar.set_postfix_str(f"{architecture}, seed {seed}")
                with _alone(file) as mine:
                    # Another process may have finished it just now.
                    if mine and not file.is_file():
                        _train_cell(experiment, architecture, seed, file, stop)
            bar.update(file.is_file())
    return all(file.is_file() for file in files.values())


def _train_cell(experiment: Experiment, architecture: Architecture, seed: int, file: Path, stop: Any) -> None:
    runs = _runs(file)
    processor: list[float] = []
    since = time.process_time()

    def on_epoch(_row: Row) -> None:
        nonlocal since
        now = time.process_time()
        processor.append(now - since)
        since = now

    parameters = experiment.parameters(architecture, seed, runs)
    result = train(experiment.dataset or Path(), parameters, Listener(stop_requested=stop, epoch=on_epoch))
    if result.stopped:
        return
    _write(file, _cell_of(architecture, seed, result, processor))
    shutil.rmtree(runs, ignore_errors=True)


def _cell_of(architecture: Architecture, seed: int, result: Result, processor: list[float]) -> Cell:
    if result.evaluation is None:
        raise ValueError(f"{architecture}: training ended without a model")
    return Cell(
        architecture=str(architecture),
        seed=seed,
        top1=result.history[-1]["val_top1"],
        best_top1=max(row["val_top1"] for row in result.history),
        loss=result.history[-1]["val_loss"],
        images=result.evaluation.count,
        epoch_seconds=tuple(row["seconds"] for row in result.history),
        epoch_processor_seconds=tuple(processor),
    )


def _runs(file: Path) -> Path:
    """Where the training of a cell has its runs, as long as it lasts."""
    return file.parents[1] / "runs" / file.stem


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Whether no other process is at this cell; it is kept from others meanwhile."""
    folder = _runs(file)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with RunFolder(folder).locked():
            yield True
    except RunFolderError:
        yield False


def _write(file: Path, cell: Cell) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
    draft.write_text(json.dumps(asdict(cell), indent=2), encoding="utf-8")
    draft.replace(file)


def _read(file: Path) -> Cell:
    content = json.loads(file.read_text(encoding="utf-8"))
    lists = {key: tuple(content[key]) for key in ("epoch_seconds", "epoch_processor_seconds")}
    return Cell(**{**content, **lists})
