"""Which run a training goes on with: a new one, or one that was interrupted and is of the same job."""

from contextlib import suppress
from pathlib import Path

from ..resnext.machine.durability import make_folder
from .run_folder import Job, RunFolder, RunFolderError, new_place, runs_in

AUTO = "auto"

IMAGES_CHANGED = "the images have changed"
COSTS_CHANGED = "cost_matrix holds other costs"

FREE_TO_CHANGE = {
    "output_folder",
    "resume",
    "max_minutes",
    # What it holds is compared.
    "cost_matrix",
    "num_workers",
    "device",
    "devices",
    "threads",
    "export_pth",
    "export_onnx",
    "quantize",
    "quantize_max_drop",
    "max_broken",
    "use_pretrained",
}
"""Parameters that do not change what is learned; the rest must be the same when a run goes on."""


def open_run(output_folder: Path, job: Job) -> tuple[RunFolder, tuple[str, ...]]:
    """The run to resume, or a new one; and what was resumed, or why nothing was, in a sentence each.

    `auto` takes a run of these very images only. A run that is named also goes on with other images of the same
    classes: a file that was lost since must not cost the run.

    Args:
        output_folder: exists.

    Raises:
        RunFolderError: the run named by `resume` is another one, or finished.
        OSError: the folder cannot be written.
    """
    notes: tuple[str, ...] = ()
    resume = job.parameters.resume
    if resume == AUTO:
        passed_over: list[str] = []
        for run in reversed(runs_in(output_folder)):
            with suppress(RunFolderError):
                if run.is_in_use:
                    continue
                if not (differences := mismatch(run, job)):
                    return _resumed(run, job)
                if run.last.is_file():
                    passed_over.append(f"; {run.path.name} was passed over: {', '.join(differences)}")
        none = f"resume=auto: no interrupted run of these parameters and images in {output_folder}; started a new run"
        notes = ("".join([none, *passed_over[:1]]),)
    elif resume:
        run = RunFolder(Path(resume).expanduser())
        notes = refuse_mismatch(run, job)
        return _resumed(run, job, *notes)
    run = RunFolder(new_place(output_folder))
    make_folder(run.checkpoints)
    run.describe(job, finished=False)
    return run, notes


def _resumed(run: RunFolder, job: Job, *notes: str) -> tuple[RunFolder, tuple[str, ...]]:
    return run, (*notes, f"resumed the interrupted run {run.path.name}", *_changed_schedule(run, job))


def mismatch(run: RunFolder, job: Job) -> list[str]:
    """Why this run is of another job; empty if it is of this one and can go on."""
    content = run.read()
    if content.get("finished"):
        return [
            f"it is finished, and its state was removed; to train on from its model, set resume to empty and "
            f"weights to {str(run.model)!r}"
        ]
    theirs = content["parameters"]
    differences = [
        f"{key} was {theirs.get(key)!r}, now it is {ours!r}"
        for key, ours in job.parameters.to_strings().items()
        if key not in {*FREE_TO_CHANGE, "epochs"} and theirs.get(key) != ours
    ]
    if content["dataset_fingerprint"] != job.fingerprint:
        differences.append(IMAGES_CHANGED)
    if content.get("costs", "") != job.costs:
        differences.append(COSTS_CHANGED)
    if not run.last.is_file():
        differences.append("it ended before its first epoch did")
    if job.parameters.epochs < (done := run.epochs_done):
        differences.append(
            f"epochs = {job.parameters.epochs}, but {done} are done: set epochs to {done} or more, or write the "
            f"model of the best epoch so far with python -m train_torchvision_resnext finish {run.path}"
        )
    return differences


def refuse_mismatch(run: RunFolder, job: Job) -> tuple[str, ...]:
    """A note where the images have changed, but not their classes. Raises: RunFolderError: other differences."""
    differences = mismatch(run, job)
    if differences == [IMAGES_CHANGED] and run.read().get("labels") == list(job.labels):
        return (f"{IMAGES_CHANGED} since this run began: the epochs from here on are of the present ones",)
    if differences:
        raise RunFolderError(f"resume: {run.path} cannot go on: {'; '.join(differences)}")
    return ()


def _changed_schedule(run: RunFolder, job: Job) -> list[str]:
    """What another number of epochs changes, in a sentence; empty where it is that of before."""
    before, now = run.read()["parameters"].get("epochs"), str(job.parameters.epochs)
    if before == now:
        return []
    changed = f"epochs was {before} when this run began and is {now} now"
    if job.parameters.scheduler == "none":
        return [changed]
    return [f"{changed}: from here on the learning rate follows the schedule of {now} epochs"]
