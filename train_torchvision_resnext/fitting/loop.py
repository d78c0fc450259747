"""The loop: epochs of training and validation, until the last one, or until something ends them before."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm
from typing_extensions import Self

from ..data.augmentation import Blend
from ..data.loading import places_of
from ..metrics.best_epoch import best, best_epoch, better
from ..metrics.evaluation import evaluate
from ..parameters.task import Parameters
from ..resnext.machine.devices import memory_watched
from ..run.forward import autocast, outputs_of
from ..run.plan import Plan
from ..run.progress import TRAINED, Listener, Row, StopRequestedError
from ..run.run_folder import RunFolder
from .checkpoint import Learner, read_state, save_best, save_state
from .failures import diverged, divergence, failure_of
from .ranks import ALONE, Ranks
from .recipe import RunningAverage, Schedule, class_weights, make_optimizer
from .subject import Subject, make_subject, set_training

LOOK_EVERY = 100
"""Steps after which the losses are looked at: a look waits for the GPU."""


@dataclass(frozen=True)
class Fitted:
    """What came of the loop.

    Attributes:
        history: a row an epoch, those before an interruption included.
        best_epoch: counted from 1; 0 = no epoch was completed.
        stopped: the user ended it.
        failure: a sentence on what else broke it off; empty if nothing did.
    """

    history: tuple[Row, ...]
    best_epoch: int
    stopped: bool = False
    failure: str = ""

    @classmethod
    def of(cls, history: Sequence[Row], parameters: Parameters, stopped: bool, failure: str) -> Self:
        """After these epochs, which may have learned nothing."""
        best = best_epoch(history, parameters.best_epoch_by)
        told = failure or divergence([*history[-1:], *history[best - 1 : best]], parameters)
        return cls(tuple(history), best, stopped, told)


def fit(plan: Plan, run: RunFolder, listener: Listener, ranks: Ranks = ALONE) -> Fitted:
    """Train to the end, from the beginning or from where the run was interrupted. The best network is kept in the run.

    Args:
        ranks: the processes that train together; each calls this with the same plan.

    Raises:
        RunFolderError: the run's state is damaged.
        OSError: the disk refuses to keep the state.
    """
    state = read_state(run.last)
    history: list[Row] = state["history"]
    stopped, failure = False, ""
    try:
        with memory_watched():
            loop = Loop.of(plan, make_subject(plan, listener, ranks), listener, ranks)
            if history:
                loop.learner.load(state)
            with loop.bar(len(history)) as bar:
                while not is_over(history, plan.parameters):
                    row = _epoch(loop, len(history), run, history, bar)
                    history.append(row)
                    listener.epoch(row)
    except StopRequestedError:
        stopped = True
    except Exception as error:
        # Raised again where it is a fault of the program or of the disk.
        failure = failure_of(error, plan.parameters, run.path, str(ranks))
    return Fitted.of(history, plan.parameters, stopped, failure)


def is_over(history: Sequence[Row], parameters: Parameters) -> bool:
    """Whether the last epoch is done, or too many in a row were no better."""
    patience, best = parameters.early_stopping_patience, best_epoch(history, parameters.best_epoch_by)
    return len(history) >= parameters.epochs or bool(patience and len(history) - best >= patience)


def _epoch(loop: "Loop", epoch: int, run: RunFolder, history: Sequence[Row], bar: "tqdm[None]") -> Row:
    """Train and validate once, and keep what came of it. `epoch` is counted from 0."""
    since, plan = time.perf_counter(), loop.plan
    by = plan.parameters.best_epoch_by
    train_loss = loop.train(epoch, bar.update)
    logits, targets = loop.validate(epoch)
    evaluation = evaluate(logits, targets, plan.dataset.labels, plan.costs)
    row: Row = {
        "epoch": epoch + 1,
        "train_loss": train_loss,
        **{f"val_{name}": float(value) for name, value in evaluation.scalars().items()},
        "learning_rate": loop.learning_rate((epoch + 1) * loop.steps_an_epoch),
        "seconds": time.perf_counter() - since,
    }
    bar.set_postfix({key: row[key] for key in ("epoch", "val_loss", "val_top1", f"val_{by}")}, refresh=False)
    if not loop.ranks.is_first:
        return row
    run.note_epoch(epoch + 1, {**row, "validation": evaluation.to_dict()})
    if better(row, best(history, by) if history else None, by):
        save_best(run.best, loop.learner.answering, logits)
    # After the best network, so that the state never tells of one that is not there.
    save_state(run.last, loop.learner, [*history, row])
    return row


@dataclass(frozen=True)
class Loop:
    """What an epoch needs.

    Attributes:
        network: the learner's; calling it in training gives it the gradients of all processes.
        criterion: N x C logits and N class indices, or N x C probabilities → the mean loss.
        weights: of the classes in that mean, on the CPU; None = alike.
        blend: mixup and CutMix.
        schedule: factor of the learning rate, of the step over all epochs.
        steps_an_epoch: of the weights; a step is made of `gradient_accumulation` batches.
    """

    plan: Plan
    subject: Subject
    learner: Learner
    network: nn.Module
    criterion: nn.Module
    weights: torch.Tensor | None
    blend: Blend
    schedule: Schedule
    steps_an_epoch: int
    listener: Listener
    ranks: Ranks

    @staticmethod
    def of(plan: Plan, subject: Subject, listener: Listener, ranks: Ranks = ALONE) -> "Loop":
        parameters, counts, network = plan.parameters, plan.dataset.counts(), subject.network
        learner = Learner(
            network,
            RunningAverage(network, parameters.ema_decay) if parameters.ema_decay else None,
            make_optimizer(network, parameters),
            torch.amp.GradScaler(plan.device.type, enabled=plan.precision == "fp16"),
        )
        weights = class_weights(counts, parameters.class_balance)
        criterion = nn.CrossEntropyLoss(weights, label_smoothing=parameters.label_smoothing).to(plan.device)
        steps = math.ceil(len(subject.training) / parameters.gradient_accumulation)
        schedule = Schedule(steps * parameters.epochs, parameters)
        together = ranks.together(network)
        if parameters.torch_compile:
            # In place, so that it stays the class that it is; the network of a running average is a copy of before.
            together.compile()
        return Loop(plan, subject, learner, together, criterion, weights, plan.blend, schedule, steps, listener, ranks)

    def learning_rate(self, step: int) -> float:
        """Of the step counted from 0, over all epochs."""
        return self.plan.parameters.learning_rate * self.schedule(step)

    def bar(self, done: int) -> "tqdm[None]":
        """Of all epochs' batches. Drawn by the clock: drawing at each batch would cost more than small batches do."""
        batches = len(self.subject.training)
        total = self.plan.parameters.epochs * batches
        silent = not self.ranks.is_first
        return tqdm(desc="Training", initial=done * batches, total=total, unit="batch", mininterval=0.5, disable=silent)

    def train(self, epoch: int, on_batch: Callable[[], object]) -> float:
        """One epoch of steps. The GPU is not waited for within them: losses stay there until they are looked at.

        Returns:
            The mean loss over the images.

        Raises:
            NotFiniteError, StopRequestedError.
        """
        device, accumulation = self.plan.device, self.plan.parameters.gradient_accumulation
        learner, batches = self.learner, len(self.subject.training)
        losses, sizes = torch.zeros(batches, device=device), self._batch_sizes()
        step = epoch * self.steps_an_epoch
        self.subject.draws.set_epoch(epoch)
        set_training(learner.network)
        for number, batch in enumerate(self.subject.training):
            images, targets = (each.to(device, non_blocking=True) for each in batch)
            completes = (number + 1) % accumulation == 0 or number + 1 == batches
            with nullcontext() if completes else self.ranks.apart(self.network):
                with autocast(device, self.plan.precision):
                    inputs = self.subject.prepare(images)
                    if self.blend:
                        inputs, targets = self._blended(inputs, targets, epoch, number)
                    loss = self.criterion(self.network(inputs).float(), targets)
                if self.ranks.count > 1:
                    loss = loss * self._factor(batch[1], sizes[number])
                learner.scaler.scale(loss / accumulation).backward()
            losses[number] = loss.detach()
            if completes:
                self._step(step)
                step += 1
            if (number + 1) % LOOK_EVERY == 0:
                self._check_finite(losses, epoch)
            on_batch()
            self._tell(epoch, number + 1)
        values = self._check_finite(losses, epoch)
        self.ranks.average_statistics(learner.network, learner.answering)
        return float(np.average(values, weights=sizes))

    def _batch_sizes(self) -> list[int]:
        """Images of each batch, all processes' parts together."""
        count, size = len(self.subject.draws), self.plan.parameters.batch_size
        return [min(size, count - begin) for begin in range(0, count, size)]

    def _blended(
        self, images: torch.Tensor, targets: torch.Tensor, epoch: int, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        blended, probabilities = self.blend(images, targets, epoch, number)
        # The image before a part is there for the next one to be blended with.
        lead = int(self.ranks.count > 1)
        return blended[lead:], probabilities[lead:]

    def _factor(self, targets: torch.Tensor, total: int) -> float:
        """What makes the loss of this part, with these targets, its share of the batch's, of `total` images."""
        size = self.ranks.part().size(total)
        # torch's mean is by the classes' weights, but for blended targets.
        if self.weights is None or self.blend:
            return self.ranks.factor(size, total)
        return self.ranks.factor(float(self.weights[targets].double().sum()) if size else 0.0)

    def _step(self, step: int) -> None:
        learner = self.learner
        for group in learner.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        learner.scaler.step(learner.optimizer)
        learner.scaler.update()
        learner.optimizer.zero_grad()
        if learner.average:
            learner.average.update()

    def _check_finite(self, losses: torch.Tensor, epoch: int) -> NDArray[np.float64]:
        """The losses of an epoch so far, by batch. Raises: NotFiniteError, with the first one that is not finite."""
        values = self.ranks.sum(losses).double().cpu().numpy()
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            whose = self.ranks.those(not losses[wrong[0]].isfinite())
            where = f"in epoch {epoch + 1}, step {wrong[0] + 1}"
            raise diverged(f"{whose}the loss is {values[wrong[0]]} {where}", self.plan.parameters, self.plan.precision)
        return values

    def validate(self, epoch: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The answers to the validation images, N x C, and their N class indices. Raises: as `train` does."""
        done = len(self.subject.training)

        def on_batch() -> None:
            nonlocal done
            done += 1
            self._tell(epoch, done)

        network = nn.Sequential(self.subject.prepare, self.learner.answering)
        loader = self.subject.validation
        part = outputs_of(network, loader, self.plan.device, self.plan.precision, on_batch)
        outputs, targets = self.ranks.whole(part, places_of(loader))
        logits: NDArray[np.float32] = outputs.numpy()
        if not np.isfinite(logits).all():
            what = f"the network's answers on the validation images are not finite after epoch {epoch + 1}"
            raise diverged(what, self.plan.parameters, self.plan.precision)
        return logits, targets.numpy()

    def _tell(self, epoch: int, batches: int) -> None:
        """Progress, after so many batches of training and validation. Raises: StopRequestedError."""
        subject = self.subject
        part = batches / (len(subject.training) + len(subject.validation))
        done = (epoch + part) / self.plan.parameters.epochs
        self.listener.progress(subject.begins + (TRAINED - subject.begins) * done)
        self.ranks.check(self.listener)
