"""What came out, a row for each architecture; and the tables made of it."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.interleaved import Timing
from examples.cardinality.accuracy import Cell, read_cells
from examples.cardinality.cost import Cost, cost
from examples.cardinality.experiment import Experiment
from examples.cardinality.speed import BATCHES, RUNTIMES, Way, read_timings
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.results.page import percent

SAME_COST = 1.12
"""Architectures whose multiply-adds are within this factor count as equally costly. A channel more or less of each
path is a step of up to a tenth."""


@dataclass(frozen=True)
class Row:
    """One architecture.

    Attributes:
        cells: its finished trainings; may be empty.
        timings: milliseconds of a forward pass by (runtime, batch); may be empty.
    """

    architecture: Architecture
    cost: Cost
    cells: tuple[Cell, ...]
    timings: Mapping[tuple[str, int], Timing]

    @property
    def accuracies(self) -> list[float]:
        """Top-1 after the last epoch, by seed."""
        return [cell.top1 for cell in self.cells]

    @property
    def accuracy(self) -> float | None:
        """The mean over the seeds."""
        return statistics.fmean(self.accuracies) if self.cells else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds, of a sample; None with fewer than two."""
        return statistics.stdev(self.accuracies) if len(self.cells) > 1 else None

    @property
    def epoch_seconds(self) -> float | None:
        """Median over all epochs of all seeds, by the clock."""
        return _median([seconds for cell in self.cells for seconds in cell.epoch_seconds])

    @property
    def epoch_processor_seconds(self) -> float | None:
        """The same by the processor's time, which other programs blur less."""
        return _median([seconds for cell in self.cells for seconds in cell.epoch_processor_seconds])


def rows_of(experiment: Experiment, folder: Path) -> list[Row]:
    """In the experiment's order."""
    cells, timings = read_cells(experiment, folder), read_timings(experiment, folder)
    size, classes = experiment.input_size, experiment.classes
    rows = []
    for one in experiment.architectures:
        ways = {(runtime, batch): Way(str(one), runtime, batch) for runtime in RUNTIMES for batch in BATCHES}
        found = {key: timings[way] for key, way in ways.items() if way in timings}
        rows.append(Row(one, cost(one, size, classes), tuple(cells[one]), found))
    return rows


def families(rows: Sequence[Row]) -> list[list[Row]]:
    """The sets of `equally_costly` that hold several cardinalities."""
    return [alike for alike in equally_costly(rows) if len({one.architecture.cardinality for one in alike}) > 1]


def standard_error(rows: Sequence[Row]) -> tuple[int, float]:
    """How many images they were judged by, and what the choice of these alone makes of their mean accuracy."""
    cells = [cell for row in rows for cell in row.cells]
    images, accuracy = cells[0].images, statistics.fmean(cell.top1 for cell in cells)
    return images, math.sqrt(accuracy * (1 - accuracy) / images)


def equally_costly(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same layers and stem and of nearly the same cost, the cheapest set first, each by cardinality."""
    found: list[list[Row]] = []
    for row in sorted(rows, key=lambda one: one.cost.multiply_adds):
        for family in found:
            first = family[0]
            alike = (first.architecture.layers, first.architecture.stem) == (
                row.architecture.layers,
                row.architecture.stem,
            )
            if alike and row.cost.multiply_adds <= SAME_COST * first.cost.multiply_adds:
                family.append(row)
                break
        else:
            found.append([row])
    return [sorted(family, key=lambda one: one.architecture.cardinality) for family in found]


def table(rows: Sequence[Row]) -> list[dict[str, str]]:
    """For people."""
    shown = []
    for row in rows:
        line = {
            "architecture": str(row.architecture),
            "parameters, M": f"{row.cost.parameters / 1e6:.2f}",
            "multiply-adds, M": f"{row.cost.multiply_adds / 1e6:,.0f}",
            "activations, M": f"{row.cost.activations / 1e6:.2f}",
            "kept to train, MB/image": f"{row.cost.saved_bytes / 1e6:.1f}",
        }
        if any(one.timings for one in rows):
            line |= _speeds(row)
        if any(one.cells for one in rows):
            line |= _accuracies(row)
        shown.append(line)
    return shown


def write_csv(rows: Sequence[Row], folder: Path) -> list[Path]:
    """`comparison.csv`, a row for each architecture, and `trainings.csv`, one for each training; SI units."""
    summary = folder / "comparison.csv"
    _write(summary, [_values(row) for row in rows])
    trainings = folder / "trainings.csv"
    cells = [
        {
            "architecture": cell.architecture,
            "seed": cell.seed,
            "top1": cell.top1,
            "best_top1": cell.best_top1,
            "loss": cell.loss,
            "validation_images": cell.images,
            "epochs": len(cell.epoch_seconds),
            "seconds": sum(cell.epoch_seconds),
            "processor_seconds": sum(cell.epoch_processor_seconds),
        }
        for row in rows
        for cell in row.cells
    ]
    _write(trainings, cells)
    return [summary, trainings]


def _speeds(row: Row) -> dict[str, str]:
    names = {"torch": "eager", "openvino": "OpenVINO"}
    cells = {}
    for runtime, name in names.items():
        one, many = row.timings.get((runtime, 1)), row.timings.get((runtime, BATCHES[-1]))
        cells[f"{name}, ms (quartiles)"] = f"{one.median:.1f} ({one.low:.1f} to {one.high:.1f})" if one else ""
        cells[f"{name}, images/s"] = f"{1000 * BATCHES[-1] / many.median:,.0f}" if many else ""
    return cells


def _accuracies(row: Row) -> dict[str, str]:
    spread = "" if row.deviation is None else f" ± {100 * row.deviation:.1f}"
    seconds = row.epoch_processor_seconds
    return {
        "training, processor s/epoch": "" if seconds is None else f"{seconds:.1f}",
        "top-1, mean ± s.d.": "" if row.accuracy is None else f"{percent(row.accuracy)}{spread}",
    }


def _values(row: Row) -> dict[str, object]:
    one = row.architecture
    values: dict[str, object] = {
        "architecture": str(one),
        "layers": ",".join(map(str, one.layers)),
        "cardinality": one.cardinality,
        "bottleneck_width": one.bottleneck_width,
        "stem": one.stem,
        "parameters": row.cost.parameters,
        "multiply_adds": row.cost.multiply_adds,
        "activations": row.cost.activations,
        "weight_bytes": row.cost.weight_bytes,
        "saved_bytes": row.cost.saved_bytes,
    }
    for runtime in RUNTIMES:
        for batch in BATCHES:
            timing = row.timings.get((runtime, batch))
            for name in ("median", "low", "high"):
                values[f"{runtime}_batch{batch}_ms_{name}"] = getattr(timing, name) if timing else ""
    return values | {
        "seeds": len(row.cells),
        "top1_mean": "" if row.accuracy is None else row.accuracy,
        "top1_deviation": "" if row.deviation is None else row.deviation,
        "epoch_seconds": row.epoch_seconds or "",
        "epoch_processor_seconds": row.epoch_processor_seconds or "",
    }


def _write(file: Path, lines: Sequence[Mapping[str, object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]) if lines else ["architecture"])
        writer.writeheader()
        writer.writerows(lines)


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
