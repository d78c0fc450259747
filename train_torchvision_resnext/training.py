"""Parameters and a folder of images → a model folder."""

import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .finishing import Finishing, Result
from .fitting.checkpoint import read_state
from .fitting.loop import Fitted, fit, is_over
from .fitting.process_settings import cpu_settings, process_settings
from .fitting.rank_process import fit_as_rank
from .fitting.ranks import ALONE, Ranks
from .launching import fit_in_processes
from .metrics.epoch_line import epoch_line
from .parameters.task import Parameters
from .resnext.host.schema import ParameterError
from .resnext.machine.printable import shown
from .results.outcome import REPORT
from .run.plan import Plan
from .run.planning import make_plan
from .run.progress import Listener, Row, StopRequestedError, TimeLimit, TrainingError
from .run.resuming import open_run, refuse_mismatch
from .run.run_folder import RUN, Job, RunFolder, RunFolderError


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
    listener = _saying_epochs(_printable(listener or Listener()), parameters)
    limit = TimeLimit.from_now(parameters.max_minutes)
    limited = replace(listener, stop_requested=lambda: limit.is_over or listener.stop_requested())
    try:
        plan = make_plan(folder, parameters, limited, ranks.count)
        run, opened = open_run(plan.output_folder, job_of(plan))
        plan = plan.noted(*opened)
        try:
            with run.locked(), cpu_settings(plan.device, parameters.threads):
                run.remove_drafts()
                run.update(job_of(plan))
                listener.begins(run.path, plan.start.architecture.name)
                say_all(plan.notes, listener)
                fitted = _fit_in(run, plan, limited, ranks)
                result = _finish(run, plan, fitted, listener)
            if not result.stopped:
                run.clear()
            say_all(result.notes[len(plan.notes) :], listener)
            say_where(result, listener)
            return result
        finally:
            run.discard_if_empty()
    except StopRequestedError:
        return _nothing(_time_is_up(parameters, "training began")) if limit.is_over else stopped_at_once()
    except RunFolderError as error:
        raise TrainingError([str(error)]) from error
    except OSError as error:
        raise TrainingError([_disk_problem(error)]) from error


def finish(folder: Path, listener: Listener, dataset: Path | None = None) -> Result:
    """Write the complete model folder of a run that was killed, as Stop would have left it.

    Args:
        folder: of the run.
        listener: as in `train`.
        dataset: where the images are; None = where they were.

    Raises:
        TrainingError: it is no run, is finished, has no complete epoch, or is of other images; or what broke it off.
    """
    run, listener = RunFolder(folder.resolve()), _printable(listener)
    try:
        content = run.read()
        parameters = Parameters.from_strings({**content["parameters"], "output_folder": str(run.path.parent)})
        if not (place := dataset or content.get("dataset")):
            raise RunFolderError(f"{run.path / RUN} does not say where the images are: add --dataset FOLDER")
        plan = make_plan(Path(place), parameters, listener)
        changed = refuse_mismatch(run, job_of(plan))
        with run.locked(), cpu_settings(plan.device, parameters.threads):
            history = read_state(run.last)["history"]
            fitted = Fitted.of(history, parameters, not is_over(history, parameters), "")
            done = f"finished after epoch {len(history)} of {parameters.epochs}, without further training"
            plan = plan.noted(*changed, done)
            run.remove_drafts()
            say_all(plan.notes, listener)
            result = Finishing(run, plan, fitted, listener, interrupted=False).write()
            if fitted.failure:
                raise TrainingError([_kept_after(fitted, run)])
            if not result.stopped:
                run.describe(job_of(plan), finished=True)
        if not result.stopped:
            run.clear()
        say_all(result.notes[len(plan.notes) :], listener)
        say_where(result, listener)
        return result
    except StopRequestedError:
        return stopped_at_once()
    except (RunFolderError, ParameterError) as error:
        raise TrainingError([str(error)]) from error
    except OSError as error:
        raise TrainingError([_disk_problem(error)]) from error


def _saying_epochs(listener: Listener, parameters: Parameters) -> Listener:
    def epoch(row: Row) -> None:
        listener.epoch(row)
        listener.say(epoch_line(row, parameters))

    return replace(listener, epoch=epoch)


def _printable(listener: Listener) -> Listener:
    """The same, told nothing that a terminal would obey, such as escape sequences in the name of a class."""
    return replace(listener, say=lambda sentence: listener.say(shown(sentence)))


def follow(ranks: Ranks) -> None:
    """Take part in the training of the first rank, which plans, tells, writes and judges."""
    plan, run = ranks.from_first(None)
    fitted = fit_as_rank(plan, run, Listener(), ranks)
    if fitted.failure:
        raise TrainingError([fitted.failure])


def _fit_in(run: RunFolder, plan: Plan, listener: Listener, ranks: Ranks) -> Fitted:
    if ranks.count > 1:
        ranks.from_first((plan, run))
        return fit_as_rank(plan, run, listener, ranks)
    if plan.processes > 1:
        return fit_in_processes(plan, run, listener)
    with process_settings(plan.device, plan.precision, plan.parameters.deterministic):
        return fit(plan, run, listener)


def _finish(run: RunFolder, plan: Plan, fitted: Fitted, listener: Listener) -> Result:
    """Write the best epoch's model folder, and say what ended the training.

    Args:
        listener: wants to stop where the user does, not where the time is up.
    """
    parameters, failure, epochs, best = plan.parameters, fitted.failure, len(fitted.history), fitted.best_epoch
    by_time = fitted.stopped and not listener.stop_requested()
    if best == 0:
        if failure:
            raise TrainingError([f"{failure}. No epoch was completed, so that there is no model to keep"])
        why = _time_is_up(parameters, "the first epoch was") if by_time else "stopped before the first epoch was over"
        return _nothing(*plan.notes, f"{why}: there is no model to keep")
    if fitted.stopped:
        why = f"max_minutes = {parameters.max_minutes:g} was over" if by_time else "stopped by the user"
        plan = plan.noted(f"{why} in epoch {epochs + 1} of {parameters.epochs}; resume = auto goes on")
    result = Finishing(run, plan, fitted, listener, interrupted=fitted.stopped or bool(failure)).write()
    if failure:
        raise TrainingError([_kept_after(fitted, run)])
    if not result.stopped:
        run.describe(job_of(plan), finished=True)
    listener.progress(1.0)
    return result


def _kept_after(fitted: Fitted, run: RunFolder) -> str:
    return f"{fitted.failure}. The model of epoch {fitted.best_epoch} is kept in {run.model}"


def job_of(plan: Plan) -> Job:
    """What is trained on what."""
    dataset, costs = plan.dataset, plan.costs.digest if plan.costs else ""
    return Job(plan.parameters, dataset.fingerprint, dataset.labels, costs, str(dataset.root.resolve()))


def say_all(notes: Sequence[str], listener: Listener) -> None:
    """Each in a line."""
    for note in notes:
        listener.say(note)


def say_where(result: Result, listener: Listener) -> None:
    """Where the model is, and its report, if they are."""
    if folder := result.model_folder:
        report = f", its report in {folder / REPORT}" if (folder / REPORT).is_dir() else ""
        listener.say(f"the model is in {folder}{report}")


def _time_is_up(parameters: Parameters, before: str) -> str:
    return f"max_minutes = {parameters.max_minutes:g} was over before {before}; raise it, or set it to 0"


def stopped_at_once() -> Result:
    """What comes of a training that was stopped before it began."""
    return _nothing("stopped before training began")


def _nothing(*notes: str) -> Result:
    return Result(None, None, (), 0, notes, stopped=True)


def _disk_problem(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{place}: make room, or set output_folder to another disk; resume=auto then goes on"
    return f"reading or writing failed{place}: {error.strerror or error}"
