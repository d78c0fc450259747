"""Parameters and a folder of images → a model folder."""

import errno
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from lightning.pytorch.utilities.exceptions import SIGTERMException
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from .data.loading import Batch, ReadError
from .fitting.epochs import Bar, EpochKeeper, InPlace, Listener, Row, Watch, load_best
from .fitting.features import Runner
from .fitting.lightning_module import ClassificationModule, NotFiniteError
from .fitting.memory import kept_memory
from .fitting.subject import Subject, images_of, make_subject, validation_images
from .parameters import Parameters
from .planning import TRAINED, Plan, TrainingError, make_plan
from .resnext.machine.devices import full_fp32, is_out_of_memory
from .resnext.machine.threads import fixed_threads
from .results.answers import Answers
from .results.evaluation import Evaluation
from .results.outcome import REPORT, write_outcome
from .run_folder import RunFolder, RunFolderError, open_run
from .stopping import StopRequestedError

LARGEST_LOSS, LARGEST_LEARNED_LOSS = 10_000.0, 104.0
"""Nats, of any loss, and of training after its first epoch. With a mean cross-entropy of 104, the true class's
probability is 0 in fp32, whose least number is e^-103.3. A few hundred can occur on the way: in the first epoch, where
a random classifier meets large features; in validation, before the statistics of batch normalization settle."""

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Lightning's names."""


@dataclass(frozen=True)
class Result:
    """What came of a training.

    Attributes:
        model_folder: None if it was stopped before its first epoch was over.
        evaluation: of the model in that folder, on the validation images; None without one.
        test: the same on the images of `test/`, which had no part in choosing it; None without them.
        history: a row an epoch.
        best_epoch: counted from 1: the epoch that the model is of; 0 without one.
        notes: what the user should know.
    """

    model_folder: Path | None
    evaluation: Evaluation | None
    history: tuple[Row, ...]
    best_epoch: int
    notes: tuple[str, ...]
    stopped: bool
    test: Evaluation | None = None


def train(folder: Path, parameters: Parameters, listener: Listener | None = None) -> Result:
    """Train on the images in a folder and write the model folder of the best epoch.

    Args:
        folder: `train/`, `val/` and `test/` of class folders, the last two if need be, or class folders alone.
        listener: is told the progress and asked whether to go on.

    Raises:
        TrainingError: with all problems that can be told before training begins; or what broke it off. A model of
            the best epoch until then is kept, and the message says where.
    """
    listener = listener or Listener()
    try:
        plan = make_plan(folder, parameters, listener)
        run = open_run(plan.output_folder, parameters, plan.dataset.fingerprint, plan.dataset.labels, plan.notes)
        try:
            with run.locked(), kept_memory(plan.device), fixed_threads():
                run.remove_drafts()
                listener.begins(run, plan.start.architecture.name)
                told = _tell(plan.notes, 0, listener)
                result = _train_in(run, plan, listener)
            if not result.stopped:
                run.clear()
            _tell(result.notes, told, listener)
            if result.model_folder:
                listener.say(f"the model is in {result.model_folder}, its report in {result.model_folder / REPORT}")
            return result
        finally:
            run.discard_if_empty()
    except StopRequestedError:
        return stopped_at_once()
    except (RunFolderError, ReadError) as error:
        raise TrainingError([str(error)]) from error
    except OSError as error:
        raise TrainingError([_disk_problem(error)]) from error


def _train_in(run: RunFolder, plan: Plan, listener: Listener) -> Result:
    keeper = EpochKeeper(run, plan.dataset.labels, plan.parameters.early_stopping_patience, listener)
    stopped, failure = False, ""
    try:
        _fit(make_subject(plan, listener), run, plan, keeper, listener)
        failure = _divergence(keeper, plan.parameters)
    except StopRequestedError:
        stopped = True
    except SIGTERMException:
        # The trainer hears the signal beside whoever listens for it here; by itself it is the caller's affair.
        if not listener.stop_requested():
            raise
        stopped = True
    except NotFiniteError as error:
        failure = str(error)
    except ReadError as error:
        failure = (
            f"{error}. Put the file back and set resume to auto, or go on without it with resume = {str(run.path)!r}"
        )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError([_memory_problem(plan.parameters)]) from error
    if keeper.best_epoch == 0:
        if failure:
            raise TrainingError([f"{failure}. No epoch was completed, so that there is no model to keep"])
        return _nothing([*plan.notes, "stopped before the first epoch was over: there is no model to keep"])
    if stopped:
        plan.notes.append(
            f"stopped by the user in epoch {len(keeper.history) + 1} of {plan.parameters.epochs}; resume = auto goes on"
        )
    evaluation, test = _write_best(run, plan, keeper, listener, in_a_hurry=stopped or bool(failure))
    if failure:
        raise TrainingError([f"{failure}. The model of epoch {keeper.best_epoch} is kept in {run.model}"])
    if not stopped:
        run.describe(plan.parameters, plan.dataset.fingerprint, plan.dataset.labels, finished=True)
    listener.progress(1.0)
    notes = (*plan.notes, *evaluation.notes)
    return Result(run.model, evaluation, tuple(keeper.history), keeper.best_epoch, notes, stopped, test)


def _tell(notes: Sequence[str], already: int, listener: Listener) -> int:
    """Say the notes that were not said yet; returns how many there are."""
    for note in notes[already:]:
        listener.say(note)
    return len(notes)


def _divergence(keeper: EpochKeeper, parameters: Parameters) -> str:
    """What a training came to whose numbers stayed finite without meaning anything; empty if they do mean something."""
    for row in (keeper.history[-1], keeper.history[keeper.best_epoch - 1]):
        learned = LARGEST_LEARNED_LOSS if row["epoch"] > 1 else LARGEST_LOSS
        for part, limit in (("train", learned), ("val", LARGEST_LOSS)):
            if row[f"{part}_loss"] > limit:
                return (
                    f"{part}_loss of epoch {row['epoch']:.0f} is {row[f'{part}_loss']:.3g}: training has diverged. "
                    f"Likely cause: learning_rate {parameters.learning_rate:g} is too high; try a tenth of it"
                )
    return ""


def stopped_at_once() -> Result:
    """What comes of a training that was stopped before it began."""
    return _nothing(["stopped before training began"])


def _nothing(notes: list[str]) -> Result:
    return Result(None, None, (), 0, tuple(notes), stopped=True)


def _fit(subject: Subject, run: RunFolder, plan: Plan, keeper: EpochKeeper, listener: Listener) -> None:
    """Train until the end, or on from where the run was interrupted.

    Raises:
        StopRequestedError, NotFiniteError: the keeper has the best epoch until then.
    """
    parameters = plan.parameters
    module = ClassificationModule(subject.network, subject.prepare, parameters, plan.dataset.counts())
    with _quiet_lightning(), _settings_of_torch_kept():
        trainer = Trainer(
            accelerator="gpu" if plan.device.type == "cuda" else "cpu",
            devices=[plan.device.index] if plan.device.type == "cuda" else 1,
            # Trained in this process alone, also where a cluster's variables are set.
            plugins=[LightningEnvironment(), InPlace()],
            precision=PRECISIONS[plan.precision],  # type: ignore[arg-type]
            max_epochs=parameters.epochs,
            accumulate_grad_batches=parameters.gradient_accumulation,
            deterministic=parameters.deterministic or None,
            benchmark=plan.device.type == "cuda" and not parameters.deterministic,
            callbacks=[keeper, Watch(listener, subject.begins, TRAINED), Bar(keeper.history)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=run.path,
        )
        trainer.fit(module, subject.training, subject.validation, ckpt_path=_state_to_resume(run))


def _state_to_resume(run: RunFolder) -> Path | None:
    """The trainer's state of an interrupted run, if it holds tensors and plain values only.

    Raises:
        RunFolderError: it holds anything else, or is damaged.
    """
    if not run.last.is_file():
        return None
    try:
        torch.load(run.last, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        # Damaged files make the reader raise anything.
        reason = str(error).partition("\n")[0]
        raise RunFolderError(f"resume: {run.last} holds code or is damaged, and is not loaded: {reason}") from error
    return run.last


def _write_best(
    run: RunFolder, plan: Plan, keeper: EpochKeeper, listener: Listener, in_a_hurry: bool
) -> tuple[Evaluation, Evaluation | None]:
    """Evaluate the best network as inference will run it, and write the model folder.

    Args:
        in_a_hurry: take the answers of its own epoch, though they may come from a lower precision, judge no test
            images and quantize nothing.

    Returns:
        What it was worth on the validation and on the test images.
    """
    state, logits = load_best(run.best)
    if plan.parameters.caches_features:
        # The classifier alone was trained; the rest is what training started from.
        state = {**plan.start.network.state_dict(), **{f"fc.{key}": tensor for key, tensor in state.items()}}
    network = plan.start.architecture.load({key: tensor.cpu() for key, tensor in state.items()})
    if in_a_hurry:
        if plan.precision != "fp32":
            plan.notes.append(f"the figures are those of {plan.precision}, in which it was trained")
    elif plan.precision != "fp32" or plan.device.type != "cpu" or plan.parameters.caches_features:
        try:
            logits = _exact_logits(network, plan, validation_images(plan), "Final evaluation")
        except ReadError as error:
            plan.notes.append(f"the figures are those of {plan.precision}, in which it was trained: {error}")
    validation = Answers.judge(plan.dataset.val, logits, plan.dataset.labels)
    test = None if in_a_hurry else _test_answers(network, plan)
    if in_a_hurry and plan.dataset.test:
        plan.notes.append("the images of test/ were not judged: training did not come to its end")
    plan.notes.append(f"the model is that of epoch {keeper.best_epoch} of {len(keeper.history)}")
    outcome = write_outcome(
        run.model, plan, network.cpu(), keeper.history, validation, test, listener, hurried=in_a_hurry
    )
    plan.notes.extend(outcome.notes)
    return validation.evaluation, test.evaluation if test else None


def _test_answers(network: nn.Module, plan: Plan) -> Answers | None:
    if not plan.dataset.test:
        return None
    try:
        logits = _exact_logits(network, plan, images_of(plan, plan.dataset.test), "Test")
        return Answers.judge(plan.dataset.test, logits, plan.dataset.labels)
    except ReadError as error:
        plan.notes.append(f"the images of test/ were not judged: {error}")
        return None


def _exact_logits(network: nn.Module, plan: Plan, images: DataLoader[Batch], task: str) -> NDArray[np.float32]:
    """The network's answers in full fp32, which is how a model folder is run unless told otherwise."""
    with full_fp32():
        logits, _ = Runner(plan.start.preprocessing, plan.device, "fp32").run(network, images, task)
    return np.asarray(logits.numpy())


def _memory_problem(parameters: Parameters) -> str:
    half = max(2, parameters.batch_size // 2)
    return (
        f"out of memory with batch_size = {parameters.batch_size} and input_size = {parameters.input_size}: set "
        f"batch_size to {half}, with gradient_accumulation = {2 * parameters.gradient_accumulation} for the same effect"
    )


def _disk_problem(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{place}: make room, or set output_folder to another disk; resume=auto then goes on"
    return f"reading or writing failed{place}: {error.strerror or error}"


@contextmanager
def _settings_of_torch_kept() -> Iterator[None]:
    """The trainer changes settings of the whole process, which other tasks of the workflow share."""
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without the trainer's remarks to programmers; its errors still come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
