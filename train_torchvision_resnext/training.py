"""Parameters and a folder of images → a model folder."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from .data.dataset import Sample
from .data.loading import ReadError
from .fitting.checkpoint import load_best
from .fitting.features import outputs_of
from .fitting.loop import Fitted, fit
from .fitting.memory import kept_memory
from .fitting.process_settings import process_settings
from .fitting.subject import Normalize, images_of, on_device
from .parameters import Parameters
from .planning import Plan, TrainingError, make_plan
from .progress import Listener, Row, StopRequestedError
from .resnext.machine.devices import full_fp32
from .resnext.machine.threads import fixed_threads
from .results.evaluation import Evaluation, evaluate
from .results.outcome import REPORT, Findings, targets_of, write_outcome
from .run_folder import RunFolder, RunFolderError, open_run

LARGEST_LOSS, LARGEST_LEARNED_LOSS = 10_000.0, 104.0
"""Nats, of any loss, and of training after its first epoch. With a mean cross-entropy of 104, the true class's
probability is 0 in fp32, whose least number is e^-103.3. A few hundred can occur on the way: in the first epoch, where
a random classifier meets large features; in validation, before the statistics of batch normalization settle."""


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
                listener.begins(run.path, plan.start.architecture.name)
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
    with process_settings(plan.device, plan.precision, plan.parameters.deterministic):
        fitted = fit(plan, run, listener)
    failure = fitted.failure or _divergence(fitted, plan.parameters)
    if fitted.best_epoch == 0:
        if failure:
            raise TrainingError([f"{failure}. No epoch was completed, so that there is no model to keep"])
        return _nothing([*plan.notes, "stopped before the first epoch was over: there is no model to keep"])
    if fitted.stopped:
        plan.notes.append(
            f"stopped by the user in epoch {len(fitted.history) + 1} of {plan.parameters.epochs}; resume = auto goes on"
        )
    evaluation, test = _write_best(run, plan, fitted, listener, in_a_hurry=fitted.stopped or bool(failure))
    if failure:
        raise TrainingError([f"{failure}. The model of epoch {fitted.best_epoch} is kept in {run.model}"])
    if not fitted.stopped:
        run.describe(plan.parameters, plan.dataset.fingerprint, plan.dataset.labels, finished=True)
    listener.progress(1.0)
    notes = (*plan.notes, *evaluation.notes)
    return Result(run.model, evaluation, fitted.history, fitted.best_epoch, notes, fitted.stopped, test)


def _tell(notes: Sequence[str], already: int, listener: Listener) -> int:
    """Say the notes that were not said yet; returns how many there are."""
    for note in notes[already:]:
        listener.say(note)
    return len(notes)


def _divergence(fitted: Fitted, parameters: Parameters) -> str:
    """What a training came to whose numbers stayed finite without meaning anything; empty if they do mean something."""
    for row in (*fitted.history[-1:], *fitted.history[fitted.best_epoch - 1 : fitted.best_epoch]):
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


def _write_best(
    run: RunFolder, plan: Plan, fitted: Fitted, listener: Listener, in_a_hurry: bool
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
            logits = _exact_logits(network, plan, plan.dataset.val, "Final evaluation")
        except ReadError as error:
            plan.notes.append(f"the figures are those of {plan.precision}, in which it was trained: {error}")
    evaluation = evaluate(logits, targets_of(plan.dataset.val), plan.dataset.labels)
    test = None if in_a_hurry else _test_logits(network, plan)
    if in_a_hurry and plan.dataset.test:
        plan.notes.append("the images of test/ were not judged: training did not come to its end")
    plan.notes.append(f"the model is that of epoch {fitted.best_epoch} of {len(fitted.history)}")
    judged = None if test is None else evaluate(test, targets_of(plan.dataset.test), plan.dataset.labels)
    findings = Findings(evaluation, logits, tuple(fitted.history), test, judged)
    write_outcome(run.model, plan, network.cpu(), findings, None if in_a_hurry else listener)
    return evaluation, findings.test


def _test_logits(network: nn.Module, plan: Plan) -> NDArray[np.float32] | None:
    if not plan.dataset.test:
        return None
    try:
        return _exact_logits(network, plan, plan.dataset.test, "Test")
    except ReadError as error:
        plan.notes.append(f"the images of test/ were not judged: {error}")
        return None


def _exact_logits(network: nn.Module, plan: Plan, samples: Sequence[Sample], task: str) -> NDArray[np.float32]:
    """The network's answers in full fp32, which is how a model folder is run unless told otherwise."""
    whole = on_device(nn.Sequential(Normalize(plan.start.preprocessing), network), plan.device)
    with full_fp32():
        logits, _ = outputs_of(whole, tqdm(images_of(plan, samples), desc=task, unit="batch"), plan.device, "fp32")
    return np.asarray(logits.numpy())


def _disk_problem(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{place}: make room, or set output_folder to another disk; resume=auto then goes on"
    return f"reading or writing failed{place}: {error.strerror or error}"
