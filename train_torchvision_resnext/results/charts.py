"""The report's charts, as matplotlib figures: learning curves, confusion matrix, classes.

Figures are made with matplotlib's object interface: nothing here touches pyplot's global state or needs a display.
Blue is right, orange is wrong, in all of them.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..metrics.best_epoch import best, measured
from ..metrics.evaluation import ClassMetrics, Evaluation
from ..parameters.recipe import Measure
from ..resnext.machine.printable import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b2733", "#66788a", "#e3e8ee"
RIGHT, WRONG, SOFT, THIRD = "#1f5fbf", "#d9480f", "#9db8dd", "#0d9488"

DPI = 150
MATRIX_CLASSES = 25
"""Up to this many classes, the confusion matrix has names and numbers; beyond, only the most confused ones have."""
ZOOM_CLASSES = 12
BAR_CLASSES = 30
LABEL_LENGTH = 24

FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "Noto Sans")
"""The first that has a letter draws it; matplotlib brings the first only."""

ACCURACIES = (("val_top1", "top-1", RIGHT), ("val_top5", "top-5", SOFT), ("val_macro_f1", "macro F1", THIRD))
LOSSES = (("train_loss", "training", SOFT), ("val_loss", "validation", RIGHT))


def save(figure: "Figure", path: Path) -> Path:
    """Write the figure as PNG. Raises: OSError."""
    with warnings.catch_warnings():
        # Of texts that are not the user's, such as file names that were cut in the middle of a character.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, format="png", facecolor="white", metadata={"Software": None})
    return path


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def set_heading(figure: "Figure", text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontweight="bold", fontsize=11, color=INK)


def short(label: str, length: int = LABEL_LENGTH) -> str:
    """At most `length` characters; the middle is left out, for the ends tell names apart.

    What no font here has is written as its code: a box tells nobody anything.
    """
    label = "".join(each if ord(each) in _drawable() else ascii(each)[1:-1] for each in shown(label))
    if len(label) <= length:
        return label
    head = (length - 1) // 2
    return f"{label[:head]}…{label[-(length - 1 - head) :]}"


def label_style() -> dict[str, Any]:
    """How text of the user's is set: as it is, dollar signs included, in whatever font has its letters."""
    return {"parse_math": False, "fontfamily": list(_fonts())}


def learning_curves(history: Sequence[Mapping[str, float]], by: Measure = "top1") -> "Figure":
    """Loss, accuracy and learning rate over the epochs, or expected cost where the best epoch was chosen by it.

    Args:
        history: at least one row, an epoch each: `epoch`, `val_loss`, `val_top1`, and any of `train_loss`, `val_top5`,
            `val_macro_f1` and `learning_rate`; what a row lacks is a gap.
        by: what the best epoch was chosen by; each row has it.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator

    figure = new_figure(12, 3.6)
    loss, accuracy, last = figure.subplots(1, 3, width_ratios=(5, 5, 3))
    epochs = [row["epoch"] for row in history]
    kept = best(history, by)

    def draw(axes: "Axes", title: str, curves: Sequence[tuple[str, str, str]]) -> None:
        marker = "o" if len(history) <= 30 else ""
        for key, name, color in curves:
            values = [row.get(key, math.nan) for row in history]
            if any(map(math.isfinite, values)):
                axes.plot(epochs, values, color=color, label=name, linewidth=2, marker=marker, markersize=3.5)
        axes.axvline(kept["epoch"], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
        style_axes(axes, title)
        axes.grid(axis="y", color=GRID)
        axes.xaxis.set_major_locator(FixedLocator(epochs) if len(epochs) < 10 else MaxNLocator(integer=True))
        axes.margins(x=0.04)
        if len(epochs) == 1:
            # A single point has no extent of its own to show.
            highest = axes.dataLim.y1
            axes.set(xlim=(epochs[0] - 1, epochs[0] + 1), ylim=(0, 1.3 * highest if 0 < highest < math.inf else 1))
        axes.set_xlabel("epoch", color=MUTED)
        if len(axes.lines) > 2:
            axes.legend(frameon=False, labelcolor=INK, fontsize=9)

    draw(loss, "Loss", LOSSES)
    draw(accuracy, "Accuracy", _told_apart(history, by))
    if by == "expected_cost":
        draw(last, "Expected cost", [("val_expected_cost", "expected cost", RIGHT)])
    else:
        draw(last, "Learning rate", [("learning_rate", "learning rate", MUTED)])
    accuracy.yaxis.set_major_formatter("{x:.0%}")
    last.yaxis.set_major_formatter("{x:g}")
    told = f"epoch {kept['epoch']:g} kept: {measured(kept, by)}"
    accuracy.set_title(told, loc="right", fontsize=9, color=RIGHT)
    return figure


def confusion_matrix(evaluation: Evaluation) -> "Figure":
    """Rows true, columns predicted, each row colored by its fractions.

    Beyond `MATRIX_CLASSES` classes: the whole as a picture, and beside it the classes that are confused most.
    """
    table = np.array(evaluation.confusion)
    count = len(table)
    if count <= MATRIX_CLASSES:
        side = 2.6 + 0.42 * count
        figure = new_figure(side + 1.2, side)
        axes = figure.subplots()
        _named_matrix(axes, table, evaluation.labels, table.sum(axis=1))
        style_axes(axes)
        set_heading(figure, "What is confused with what")
        return figure
    figure = new_figure(11.6, 6.8)
    whole, zoom = figure.subplots(1, 2)
    _paint(whole, table, table.sum(axis=1))
    style_axes(whole, f"All {count} classes, by index")
    whole.set_xlabel("predicted", color=MUTED)
    whole.set_ylabel("true", color=MUTED)
    chosen = _most_confused(table)
    _named_matrix(
        zoom, table[np.ix_(chosen, chosen)], [evaluation.labels[i] for i in chosen], table.sum(axis=1)[chosen]
    )
    style_axes(zoom, f"The {len(chosen)} classes confused most")
    return figure


def class_bars(evaluation: Evaluation) -> "Figure":
    """F1, precision and recall of each class, the worst on top; only the worst beyond `BAR_CLASSES` classes."""
    classes = sorted(evaluation.per_class, key=lambda metrics: metrics.f1)[:BAR_CLASSES]
    figure = new_figure(10, 1.5 + 0.36 * len(classes))
    axes = figure.subplots()
    rows = range(len(classes))
    axes.barh(rows, [m.f1 for m in classes], height=0.62, color=SOFT, label="F1")
    # Not clipped, so that a mark at 100 % is whole.
    axes.plot([m.precision for m in classes], rows, "D", color=INK, markersize=5, label="precision", clip_on=False)
    axes.plot([m.recall for m in classes], rows, "o", color=THIRD, markersize=6, label="recall", clip_on=False)
    for row, metrics in enumerate(classes):
        axes.text(1.03, row, f"{metrics.f1:.1%}", va="center", ha="left", color=INK, fontsize=9)
    names = [f"{short(m.label)}  ({_images(m)})" for m in classes]
    axes.set_yticks(rows, names, **label_style())
    axes.set(xlim=(0, 1.0), ylim=(len(classes) - 0.4, -0.6))
    axes.xaxis.set_major_formatter("{x:.0%}")
    total = len(evaluation.per_class)
    every = len(classes) == total
    style_axes(axes, "Each class, the worst first" if every else f"The {len(classes)} worst of {total} classes, by F1")
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.axvline(evaluation.macro_f1, color=RIGHT, linewidth=1, linestyle=(0, (3, 2)), label="macro F1")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    return figure


def _images(metrics: ClassMetrics) -> str:
    return "1 image" if metrics.support == 1 else f"{metrics.support} images"


def _told_apart(history: Sequence[Mapping[str, float]], by: Measure) -> list[tuple[str, str, str]]:
    """The accuracies that say something: up to five classes, top-5 is always 100 %."""
    trivial = all(row.get("val_top5", 1.0) == 1 for row in history)
    chosen = [("val_balanced_accuracy", "balanced accuracy", MUTED)] if by == "balanced_accuracy" else []
    return [*(curve for curve in ACCURACIES if not (trivial and curve[0] == "val_top5")), *chosen]


def _most_confused(table: NDArray[np.int64]) -> list[int]:
    """The classes in the most frequent confusions, in index order; the first ones where nothing is confused."""
    mistakes = table.copy()
    np.fill_diagonal(mistakes, 0)
    chosen: list[int] = []
    for flat in np.argsort(-mistakes, axis=None, kind="stable"):
        pair = [int(index) for index in np.unravel_index(flat, mistakes.shape)]
        new = [index for index in pair if index not in chosen]
        if len(chosen) + len(set(new)) > ZOOM_CLASSES or not mistakes[tuple(pair)]:
            break
        chosen += new
    return sorted(chosen) or list(range(ZOOM_CLASSES))


def _paint(axes: "Axes", table: NDArray[np.int64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    """Color the cells: blue on the diagonal, orange off it, stronger with the fraction of the row.

    Returns:
        The cells' colors, rows x columns x RGBA in [0, 1].
    """
    from matplotlib.colors import LinearSegmentedColormap

    fractions = np.asarray(table / np.maximum(support, 1)[:, None])
    blue = LinearSegmentedColormap.from_list("right", ["#eef4fc", "#7fa8dc", "#174a94"])
    orange = LinearSegmentedColormap.from_list("wrong", ["#fde6d8", "#f08a4b", "#b93a06"])
    # The root makes one mistake among many images visible.
    colors = np.asarray(orange(np.sqrt(fractions)))
    colors[table == 0] = (0.975, 0.98, 0.985, 1)
    diagonal = np.arange(len(table))
    colors[diagonal, diagonal] = blue(fractions[diagonal, diagonal])
    axes.imshow(colors, interpolation="nearest")
    return colors


def _named_matrix(axes: "Axes", table: NDArray[np.int64], labels: Sequence[str], support: NDArray[np.int64]) -> None:
    colors = _paint(axes, table, support)
    dark = colors[..., :3] @ (0.299, 0.587, 0.114) < 0.62
    size = 11 if len(table) <= 12 else 8
    for row, column in np.ndindex(*table.shape):
        # A zero is worth saying only where the number of right answers belongs.
        if table[row, column] or (row == column and support[row]):
            ink = "white" if dark[row, column] else INK
            axes.text(column, row, f"{table[row, column]}", ha="center", va="center", fontsize=size, color=ink)
    names = [short(label) for label in labels]
    places = range(len(names))
    steep: dict[str, Any] = {} if sum(map(len, names)) <= 6 * len(names) <= 60 else {"rotation": 45, "ha": "right"}
    axes.set_xticks(places, names, rotation_mode="anchor", **steep, **label_style())
    axes.set_yticks(places, names, **label_style())
    edges = np.arange(len(names) - 1) + 0.5
    axes.hlines(edges, -0.5, len(names) - 0.5, color="white", linewidth=1.5)
    axes.vlines(edges, -0.5, len(names) - 0.5, color="white", linewidth=1.5)
    axes.set_xlabel("predicted", color=MUTED)
    axes.set_ylabel("true", color=MUTED)


def style_axes(axes: "Axes", title: str = "") -> None:
    """Without a frame; the title at the left."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK, labelsize=9)
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, color=INK)


@cache
def _drawable() -> frozenset[int]:
    """The characters that some font of `_fonts` has."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset().union(*(FT2Font(findfont(name)).get_charmap() for name in _fonts()))


@cache
def _fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return tuple(font for font in FONTS if font in installed)
