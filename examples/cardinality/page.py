"""The comparison as one page that opens without a connection."""

from collections.abc import Sequence
from pathlib import Path

from examples.cardinality.experiment import Experiment
from examples.cardinality.plots import CARDINALITY_PLOT, COST_PLOT
from examples.cardinality.summary import Row, standard_error, table
from train_torchvision_resnext.results import page
from train_torchvision_resnext.results.page import Picture, percent

PAGE = "comparison.html"
TEMPLATE = Path(__file__).with_name(f"{PAGE}.jinja")

CAPTIONS = {
    COST_PLOT: "Dots are single trainings, marks their mean, bars one standard deviation over the seeds.",
    CARDINALITY_PLOT: "The same multiply-adds, spent on more and narrower paths from left to right.",
}


def write_page(experiment: Experiment, rows: Sequence[Row], pictures: Sequence[Path], machine: str, file: Path) -> Path:
    """Write the page. Raises: OSError."""
    return page.write_page(
        file,
        TEMPLATE,
        title=_title(experiment),
        sentences=sentences(experiment, rows),
        rows=table(rows),
        pictures=[Picture(picture, CAPTIONS[picture.name]) for picture in pictures],
        settings={
            "dataset": experiment.dataset or "none",
            "seeds": experiment.seeds,
            **experiment.settings,
            "machine": machine,
        },
        trainings=[cell for row in rows for cell in row.cells],
    )


def sentences(experiment: Experiment, rows: Sequence[Row]) -> list[str]:
    """What a reader must know to read the table: how it came about, and how far it can be trusted."""
    said = [
        "Multiply-adds count once and are those of one image. Activations are the values that convolutions put out: "
        "they, more than multiply-adds, are what memory has to carry. Training keeps the stated bytes for each image "
        "of a batch, in fp32."
    ]
    if rounds := [len(timing.values) for row in rows for timing in row.timings.values()]:
        said.append(
            f"Times of forward passes are medians and quartiles. Timed rounds: {min(rounds)}; in each round every "
            "architecture runs once in each runtime."
        )
    cells = [cell for row in rows for cell in row.cells]
    if cells:
        images, error = standard_error(rows)
        epochs = len(cells[0].epoch_seconds)
        said.append(
            f"Every architecture was trained alike, {epochs} epochs for each of {experiment.seeds} seeds, and judged "
            f"after the last epoch on {images:,} validation images. One image is {percent(1 / images)}; the choice of "
            f"these images alone gives such an accuracy a standard error of {percent(error)}, beside the spread over "
            "the seeds. Read nothing into smaller differences."
        )
    missing = [str(row.architecture) for row in rows if experiment.dataset and len(row.cells) < experiment.seeds]
    if missing:
        said.append(f"Not finished: {', '.join(missing)}. Run the same command again to go on.")
    return said


def _title(experiment: Experiment) -> str:
    what = f"{len(experiment.architectures)} architectures"
    return f"{what} on {experiment.dataset.name}" if experiment.dataset else f"{what}: what they cost"
