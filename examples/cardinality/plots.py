"""Accuracy against cost, and against cardinality at constant cost, as in the paper's comparison.

A dot is one training, the mark their mean, the bar their standard deviation. Orange is ResNet, cardinality 1; blue is
ResNeXt, the darker the more paths.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.cardinality.speed import BATCHES
from examples.cardinality.summary import Row, equally_costly, families, standard_error
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.results.charts import GRID, INK, MUTED, WRONG, new_figure, save, set_heading, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COST_PLOT = "accuracy_against_cost.png"
CARDINALITY_PLOT = "accuracy_against_cardinality.png"
MARKS = "oDs^vP*X"
"""One for each set of equally costly architectures."""


def accuracy_against_cost(rows: Sequence[Row], folder: Path) -> Path | None:
    """Beside the multiply-adds, the time of a forward pass where it was measured; None without a training."""
    rows = [row for row in rows if row.cells]
    if not rows:
        return None
    panels: list[tuple[str, Callable[[Row], float]]] = [("million multiply-adds per image", _multiply_adds)]
    panels += [
        (f"ms per image, {name}, {BATCHES[-1]} at once", partial(_milliseconds, runtime))
        for runtime, name in (("torch", "torch"), ("openvino", "OpenVINO"))
        if all((runtime, BATCHES[-1]) in row.timings for row in rows)
    ]
    figure = new_figure(3 + 3.4 * len(panels), 4.4)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.08})[0]
    marks = _marks(rows)
    for axes, (title, cost_of) in zip(grid, panels, strict=True):
        for row in rows:
            style = {"marker": marks[row.architecture], "label": str(row.architecture), "linestyle": ""}
            _draw(axes, [cost_of(row)], [row], _color(row), **style)
        # One scale for what differs by a tenth and by ten times.
        axes.set_xlim(left=0)
        axes.margins(x=0.12)
        axes.set_xlabel(title, color=MUTED)
        _style(axes)
    grid[0].set_ylabel("validation top-1", color=MUTED)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=9, labelcolor=INK)
    set_heading(figure, "Accuracy against cost")
    return save(figure, folder / COST_PLOT)


def accuracy_against_cardinality(rows: Sequence[Row], folder: Path) -> Path | None:
    """A line for each set of equally costly architectures; None where there is none."""
    sets = families([row for row in rows if row.cells])
    if not sets:
        return None
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    shades = ("#1f5fbf", "#0d9488", "#7c3aed", "#66788a")
    for number, family in enumerate(sets):
        color = shades[number % len(shades)]
        places = [math.log2(row.architecture.cardinality) for row in family]
        costs = sorted(row.cost.multiply_adds / 1e6 for row in family)
        name = f"{family[0].architecture.depth} layers, {costs[0]:.0f} to {costs[-1]:.0f} M multiply-adds"
        _draw(axes, places, family, color, marker="o", label=name, linewidth=2)
        for place, row in zip(places, family, strict=True):
            note = f"{row.architecture.cardinality}x{row.architecture.bottleneck_width}d"
            at = (place, row.accuracy or 0)
            axes.annotate(note, at, (7, -13), textcoords="offset points", fontsize=9, color=color)
    ticks = sorted({row.architecture.cardinality for family in sets for row in family})
    axes.set_xticks([math.log2(tick) for tick in ticks], [str(tick) for tick in ticks])
    axes.margins(x=0.1)
    axes.set_xlabel("cardinality; 1 is ResNet", color=MUTED)
    axes.set_ylabel("validation top-1", color=MUTED)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
    _style(axes, "Cardinality at constant cost")
    images, error = standard_error([row for family in sets for row in family])
    note = f"choice of {images:,} images alone: ± {100 * error:.1f} %"
    axes.set_title(note, loc="right", fontsize=9, color=MUTED)
    return save(figure, folder / CARDINALITY_PLOT)


def _multiply_adds(row: Row) -> float:
    return row.cost.multiply_adds / 1e6


def _milliseconds(runtime: str, row: Row) -> float:
    return row.timings[runtime, BATCHES[-1]].median / BATCHES[-1]


def _draw(axes: "Axes", places: Sequence[float], rows: Sequence[Row], color: str, **style: Any) -> None:
    """A dot for each training, a mark for their mean and a bar for their deviation. `style` is matplotlib's."""
    for place, row in zip(places, rows, strict=True):
        axes.plot([place] * len(row.cells), row.accuracies, ".", color=color, alpha=0.45, markersize=5, zorder=1)
    axes.errorbar(
        places,
        [row.accuracy or 0 for row in rows],
        yerr=[row.deviation or 0 for row in rows],
        color=color,
        markersize=7,
        elinewidth=1,
        capsize=3,
        **style,
    )


def _color(row: Row) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    cardinality = row.architecture.cardinality
    if cardinality == 1:
        return WRONG
    return to_hex(colormaps["Blues"](min(1.0, 0.35 + 0.13 * math.log2(cardinality))))


def _marks(rows: Sequence[Row]) -> dict[Architecture, str]:
    return {
        row.architecture: MARKS[number % len(MARKS)]
        for number, alike in enumerate(equally_costly(rows))
        for row in alike
    }


def _style(axes: "Axes", title: str = "") -> None:
    style_axes(axes, title)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter("{x:.1%}")
