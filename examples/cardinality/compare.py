"""The comparison as a whole: measure what is missing, then write tables, plots and the page."""

from collections.abc import Callable, Collection
from pathlib import Path

from benchmarks.table import markdown
from examples.cardinality.accuracy import train_cells
from examples.cardinality.experiment import Experiment
from examples.cardinality.page import PAGE, sentences, write_page
from examples.cardinality.plots import accuracy_against_cardinality, accuracy_against_cost
from examples.cardinality.speed import ROUNDS, machine, measure
from examples.cardinality.summary import rows_of, table, write_csv

PARTS = ("accuracy", "speed")


def compare(
    experiment: Experiment,
    folder: str | Path,
    stop: Callable[[], bool] = lambda: False,
    parts: Collection[str] = PARTS,
    rounds: int = ROUNDS,
) -> Path:
    """Compare architectures; what an earlier call with the same experiment and folder has finished is not repeated.

    Args:
        folder: for the results; made if need be.
        stop: asked after every batch and round; what is finished by then is kept and reported.
        parts: what may be measured now: `accuracy` trains, `speed` times forward passes.
        rounds: timed forward passes of each architecture, runtime and batch, at least 1. Earlier rounds of the same
            experiment count; the result has all of them.

    Returns:
        The page, `comparison.html`; beside it `comparison.csv`, `trainings.csv`, `comparison.md` and the plots.

    Raises:
        TrainingError: the dataset or the settings cannot be trained with.
        ValueError: `rounds` is below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds = {rounds}: must be an integer from 1")
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    if "accuracy" in parts:
        train_cells(experiment, folder, stop)
    if "speed" in parts and not stop():
        measure(experiment, folder, stop, rounds)
    return write_results(experiment, folder)


def write_results(experiment: Experiment, folder: Path) -> Path:
    """Tables, plots and the page of what is there. Returns: the page."""
    rows = rows_of(experiment, folder)
    write_csv(rows, folder)
    text = "\n\n".join([markdown(table(rows)), *sentences(experiment, rows)])
    (folder / "comparison.md").write_text(f"{text}\n", encoding="utf-8")
    drawn = (accuracy_against_cost(rows, folder), accuracy_against_cardinality(rows, folder))
    return write_page(experiment, rows, [picture for picture in drawn if picture], machine(), folder / PAGE)
