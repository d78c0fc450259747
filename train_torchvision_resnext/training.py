"""Parameters and a folder of images → a model folder."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .fitting.checkpoint import load_best
from .fitting.loop import Fitted, fit
from .fitting.process_settings import cpu_settings, process_settings
from .fitting.rank_process import fit_as_rank
from .fitting.ranks import ALONE, Ranks
from .launching import fit_in_processes
from .parameters.task import Parameters
from .plan import Plan
from .planning import make_plan
from .progress import Listener, Row, StopRequestedError, TrainingError
from .results.best_epoch import measured
from .results.evaluation import Evaluation
from .results.judging import judge
from .results.outcome import REPORT, write_outcome
from .run_folder import Job, RunFolder, RunFolderError, open_run
from .tracking.epoch_line import epoch_line


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


def train(folder: Path, parameters: Parameters, listener: Listener | None = None, ranks: Ranks = ALONE) -> Result:
    """Train on the images in a folder and write the model folder of the best epoch.

    Args:
        folder: `train/`, `val/` and `test/` of class folders, the last two if need be, or class folders alone.
        listener: is told the progress and asked whether to go on.
        ranks: of which this is the first; the others call `follow`.

    Raises:
        TrainingError: with all problems that can be told before training begins; or what broke it off. A model of
            the best epoch until then is kept, and the message says where.
    """
    listener = _saying_epochs(listener or Listener(), parameters)
    try:
        plan = make_plan(folder, parameters, listener, ranks.count)
        run, opened = open_run(plan.output_folder, _job(plan))
        plan = plan.noted(*opened)
        try:
            with run.locked(), cpu_settings(plan.device, parameters.threads):
                run.remove_drafts()
                listener.begins(run.path, plan.start.architecture.name)
                _tell(plan.notes, listener)
                result = _train_in(run, plan, listener, ranks)
            if not result.stopped:
                run.clear()
            _tell(result.notes[len(plan.notes) :], listener)
            if result.model_folder:
                listener.say(f"the model is in {result.model_folder}, its report in {result.model_folder / REPORT}")
            return result
        finally:
            run.discard_if_empty()
    except StopRequestedError:
        return stopped_at_once()
    except RunFolderError as error:
        raise TrainingError([str(error)]) from error
    except OSError as error:
        raise TrainingError([_disk_problem(error)]) from error


def _saying_epochs(listener: Listener, parameters: Parameters) -> Listener:
    def epoch(row: Row) -> None:
        listener.epoch(row)
        listener.say(epoch_line(row, parameters))

    return replace(listener, epoch=epoch)


def follow(ranks: Ranks) -> None:
    """Take part in the training of the first rank, which plans, tells, writes and judges."""
    plan, run = ranks.from_first(None)
    fitted = fit_as_rank(plan, run, Listener(), ranks)
    if fitted.failure:
        raise TrainingError([fitted.failure])


def _train_in(run: RunFolder, plan: Plan, listener: Listener, ranks: Ranks) -> Result:
    parameters = plan.parameters
    if ranks.count > 1:
        ranks.from_first((plan, run))
        fitted = fit_as_rank(plan, run, listener, ranks)
    elif plan.processes > 1:
        fitted = fit_in_processes(plan, run, listener)
    else:
        with process_settings(plan.device, plan.precision, parameters.deterministic):
            fitted = fit(plan, run, listener)
    failure, epochs, best = fitted.failure, len(fitted.history), fitted.best_epoch
    if best == 0:
        if failure:
            raise TrainingError([f"{failure}. No epoch was completed, so that there is no model to keep"])
        return _nothing(*plan.notes, "stopped before the first epoch was over: there is no model to keep")
    if fitted.stopped:
        plan = plan.noted(f"stopped by the user in epoch {epochs + 1} of {parameters.epochs}; resume = auto goes on")
    result = _write_best(run, plan, fitted, listener, hurried=fitted.stopped or bool(failure))
    if failure:
        raise TrainingError([f"{failure}. The model of epoch {best} is kept in {run.model}"])
    if not fitted.stopped:
        run.describe(_job(plan), finished=True)
    listener.progress(1.0)
    return result


def _job(plan: Plan) -> Job:
    costs = plan.costs.digest if plan.costs else ""
    return Job(plan.parameters, plan.dataset.fingerprint, plan.dataset.labels, costs)


def _tell(notes: Sequence[str], listener: Listener) -> None:
    for note in notes:
        listener.say(note)


def stopped_at_once() -> Result:
    """What comes of a training that was stopped before it began."""
    return _nothing("stopped before training began")


def _nothing(*notes: str) -> Result:
    return Result(None, None, (), 0, notes, stopped=True)


def _write_best(run: RunFolder, plan: Plan, fitted: Fitted, listener: Listener, hurried: bool) -> Result:
    """Evaluate the best network as inference will run it, and write the model folder.

    Args:
        hurried: take the answers of its own epoch, though they may come from a lower precision, judge no test images
            and quantize nothing.
    """
    state, logits = load_best(run.best)
    if plan.parameters.caches_features:
        # The classifier alone was trained; the rest is what training started from.
        state = {**plan.start.network.state_dict(), **{f"fc.{key}": tensor for key, tensor in state.items()}}
    network = plan.start.architecture.load({key: tensor.cpu() for key, tensor in state.items()})
    judged = judge(plan, network, logits, fitted.history, hurried)
    by = measured(fitted.history[fitted.best_epoch - 1], plan.parameters.best_epoch_by)
    best = f"the model is that of epoch {fitted.best_epoch} of {len(fitted.history)}, the best by {by}"
    plan = plan.noted(*judged.notes, best)
    told = write_outcome(run.model, plan, judged, listener)
    return Result(
        run.model,
        judged.validation.evaluation,
        fitted.history,
        fitted.best_epoch,
        (*plan.notes, *told, *judged.validation.evaluation.notes),
        fitted.stopped,
        judged.test.evaluation if judged.test else None,
    )


def _disk_problem(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{place}: make room, or set output_folder to another disk; resume=auto then goes on"
    return f"reading or writing failed{place}: {error.strerror or error}"
