"""What happens around the epochs: progress, stopping, evaluating, keeping the best, being able to go on."""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from ..resnext.folder.weight_files import errors_of_the_disk
from ..results.best_epoch import better
from ..results.evaluation import evaluate
from ..run_folder import DRAFT, RunFolder, RunFolderError
from ..stopping import StopRequestedError
from .lightning_module import ClassificationModule

LOGITS = "validation_logits"
STATE = "network."

Row = dict[str, float]
"""What is known of an epoch."""


@dataclass
class Listener:
    """Who is told how training goes, and asked whether to go on.

    Attributes:
        begins: is told the run's folder, new or resumed, and the network's name before the first epoch.
        progress: is told the share of the whole work that is done, in [0, 1], never falling.
        stop_requested: is asked after every batch.
        epoch: is told the metrics of each epoch.
        say: is told, in a sentence each, what the user should know.
    """

    begins: Callable[[RunFolder, str], None] = lambda run, network: None
    progress: Callable[[float], None] = lambda done: None
    stop_requested: Callable[[], bool] = lambda: False
    epoch: Callable[[Row], None] = lambda row: None
    say: Callable[[str], None] = lambda sentence: None

    def check(self) -> None:
        """Raises: StopRequestedError."""
        if self.stop_requested():
            raise StopRequestedError


@dataclass(eq=False)
class Watch(Callback):
    """Tells the listener of each batch and ends training when it wants to.

    Args:
        first, last: progress at the beginning and the end of all epochs.
    """

    listener: Listener
    first: float
    last: float

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._tell(trainer, batch_idx + 1)

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._tell(trainer, int(trainer.num_training_batches) + batch_idx + 1)

    def _tell(self, trainer: Trainer, batches: int) -> None:
        validation = sum(int(count) for count in trainer.num_val_batches)
        epoch = min(1.0, batches / max(1, int(trainer.num_training_batches) + validation))
        done = (trainer.current_epoch + epoch) / max(1, trainer.max_epochs or 1)
        self.listener.progress(self.first + (self.last - self.first) * min(1.0, done))
        self.listener.check()


class Bar(Callback):
    """A progress bar over all epochs. Drawn by the clock: drawing at each batch would cost more than small batches do.

    Args:
        history: the keeper's rows; the last one is shown.
    """

    def __init__(self, history: list[Row]) -> None:
        self._history = history
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        batches = int(trainer.num_training_batches)
        done, total = trainer.current_epoch * batches, (trainer.max_epochs or 0) * batches
        self._bar = tqdm(desc="Training", initial=done, total=total, unit="batch", mininterval=0.5)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._bar is not None and self._history:
            row = self._history[-1]
            told = {"epoch": int(row["epoch"]), "val_loss": row["val_loss"], "val_top1": row["val_top1"]}
            self._bar.set_postfix(told, refresh=False)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class InPlace(TorchCheckpointIO):
    """Writes the trainer's state where it belongs.

    The trainer's own way needs as much room in the system's temporary folder, which may be small or in memory.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        # By way of memory: an error of Python's own writing says what is wrong with the disk, one of torch's does not.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with errors_of_the_disk(Path(path)):
            Path(path).write_bytes(content.getbuffer())


@dataclass(eq=False)
class EpochKeeper(Checkpoint):
    """Evaluates each epoch, keeps the best network and the state to go on from.

    Attributes:
        history: a row an epoch.
        best_epoch: counted from 1; 0 = none yet.
    """

    run: RunFolder
    labels: Sequence[str]
    patience: int
    listener: Listener
    history: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    _since: float = 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not isinstance(module, ClassificationModule):
            raise TypeError(f"expected a ClassificationModule, not a {type(module).__name__}")
        evaluation = evaluate(module.val_logits, module.val_targets, self.labels)
        row: Row = {
            "epoch": trainer.current_epoch + 1,
            "train_loss": module.train_loss,
            **{f"val_{name}": float(value) for name, value in evaluation.scalars().items()},
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": time.perf_counter() - self._since,
        }
        self.history.append(row)
        self.run.note_epoch(len(self.history), {**row, "validation": evaluation.to_dict()})
        if better(row, self.history[self.best_epoch - 1] if self.best_epoch else None):
            self.best_epoch = len(self.history)
            save_best(self.run.best, module)
        # After the best network, so that the state never tells of one that is not there.
        draft = self.run.last.with_suffix(DRAFT)
        trainer.save_checkpoint(draft)
        draft.replace(self.run.last)
        self.listener.epoch(row)
        if self.patience and len(self.history) - self.best_epoch >= self.patience:
            trainer.should_stop = True

    @property
    def state_key(self) -> str:
        return "EpochKeeper"

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history[:] = state_dict["history"]
        self.best_epoch = int(state_dict["best_epoch"])


def save_best(path: Path, module: ClassificationModule) -> None:
    """Write the network that answers and its logits, whole or not at all."""
    tensors = {STATE + key: value.detach().cpu().contiguous() for key, value in module.answering.state_dict().items()}
    draft = path.with_suffix(DRAFT)
    with errors_of_the_disk(draft):
        save_file({**tensors, LOGITS: torch.from_numpy(module.val_logits)}, draft)
    draft.replace(path)


def load_best(path: Path) -> tuple[dict[str, torch.Tensor], NDArray[np.float32]]:
    """The best network's state dict and its logits on the validation images. Raises: RunFolderError."""
    try:
        tensors = load_file(path)
        logits = tensors.pop(LOGITS)
    except Exception as error:
        # Damaged files make the reader raise errors of many kinds.
        raise RunFolderError(f"resume: {path} is damaged ({error}); start anew, with resume empty") from error
    return {key.removeprefix(STATE): tensor for key, tensor in tensors.items()}, np.asarray(logits.numpy())
