"""Draw `docs/images/cardinality.png`: one block as ResNet has it, as parallel paths, and as one grouped convolution.

Boxes say how many channels come out; the numbers of weights are counted by `cost.py`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from examples.cardinality.cost import convolutions
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.results.charts import INK, MUTED, WRONG, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = Path(__file__).parents[1] / "docs" / "images" / "cardinality.png"

RESNET, RESNEXT = Architecture((2,), 1, 64), Architecture((2,), 32, 4)
BLUES = ("#1f5fbf", "#5b8fd6", "#9db8dd", "#0d9488")
PIPE = "#c9d3de"
WIDE = 256
"""Channels between the blocks."""
SHOWN = 3
"""Paths drawn before the dots, and one after."""


def draw() -> Path:
    figure = new_figure(12, 4.9)
    axes = figure.subplots(1, 3)
    for each, title in zip(
        axes,
        (
            f"ResNet: cardinality 1, {weights_of(RESNET):,} weights",
            f"ResNeXt: 32 paths, summed, {weights_of(RESNEXT):,} weights",
            "The same, as one grouped convolution",
        ),
        strict=True,
    ):
        each.set(xlim=(-150, 150), ylim=(-8, 100))
        each.axis("off")
        each.set_title(title, fontsize=10.5, fontweight="bold", color=INK)
        _frame(each)
    _resnet(axes[0])
    _paths(axes[1])
    _grouped(axes[2])
    return save(figure, FILE)


def weights_of(architecture: Architecture) -> int:
    """Of the convolutions of a block whose shortcut has none."""
    return sum(layer.weights for layer in list(convolutions(architecture, 56))[-3:])


def _frame(axes: "Axes") -> None:
    """Input, shortcut, sum and output, which all three have."""
    _box(axes, 0, 92, WIDE, 5, PIPE, f"{WIDE} channels", INK)
    _box(axes, 0, -6, WIDE, 5, PIPE, f"{WIDE} channels", INK)
    axes.plot([140, 140], [94.5, 8], color=MUTED, linewidth=1.5)
    axes.plot([128, 140], [94.5, 94.5], color=MUTED, linewidth=1.5)
    axes.annotate("", (7, 8), (140, 8), arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.5})
    axes.text(137, 50, "shortcut", rotation=90, va="center", ha="right", fontsize=8, color=MUTED)
    axes.plot([0], [8], "o", markersize=15, color="white", markeredgecolor=INK, zorder=3)
    axes.text(0, 7.9, "+", ha="center", va="center", fontsize=12, color=INK, zorder=4)
    _arrow(axes, 0, 5, -1)


def _resnet(axes: "Axes") -> None:
    for top, text in ((76, "1 x 1"), (50, "3 x 3"), (24, "1 x 1")):
        width = WIDE if top == 24 else 64
        _box(axes, 0, top - 6, width * 0.9 if width == WIDE else width, 9, WRONG, f"{text}, {width}", "white")
    for high, low in ((92, 79), (70, 53), (44, 27), (18, 11)):
        _arrow(axes, 0, high, low)


def _paths(axes: "Axes") -> None:
    places = [-105, -60, -15, 85]
    for number, (place, color) in enumerate(zip(places, BLUES, strict=True)):
        name = 32 if number == SHOWN else number + 1
        axes.text(place, 84, f"path {name}", ha="center", fontsize=8, color=color)
        axes.plot([place / 3, place], [91.5, 87.5], color=color, linewidth=1)
        for top, text in ((76, "1 x 1, 4"), (50, "3 x 3, 4"), (24, "1 x 1, 256")):
            _box(axes, place, top - 6, 42, 9, color, text, "white" if number != 2 else INK, 7)
        _arrow(axes, place, 70, 53, color)
        _arrow(axes, place, 44, 27, color)
        axes.plot([place, 0], [18, 10.5], color=color, linewidth=1)
    for height in (74.5, 48.5, 22.5):
        axes.text(35, height, "· · ·", ha="center", va="center", fontsize=14, color=MUTED)


def _grouped(axes: "Axes") -> None:
    _box(axes, 0, 70, 128, 9, BLUES[0], "1 x 1, 128", "white")
    width = 128 / 32
    for number in range(32):
        _box(axes, -62 + number * width, 44, width - 1, 9, BLUES[number % 3], "", "white")
    axes.text(0, 57, "3 x 3, 128, in 32 groups of 4", ha="center", fontsize=9, color=INK)
    _box(axes, 0, 18, WIDE * 0.9, 9, BLUES[0], "1 x 1, 256", "white")
    for high, low in ((92, 79), (70, 61.5), (44, 38.5), (34, 27), (18, 11)):
        _arrow(axes, 0, high, low)
    axes.text(
        0, 36, "each group sees its own 4 channels only", ha="center", fontsize=8, color=MUTED, backgroundcolor="white"
    )


def _box(axes: "Axes", middle: float, bottom: float, width: float, height: float, *look: object) -> None:
    """`look`: color, text, its color and, if need be, its size."""
    from matplotlib.patches import FancyBboxPatch

    color, text, ink, *size = look
    corner = f"round,pad=0,rounding_size={min(2.0, width / 4)}"
    axes.add_patch(FancyBboxPatch((middle - width / 2, bottom), width, height, corner, color=color, linewidth=0))
    axes.text(
        middle,
        bottom + height / 2 - 0.2,
        str(text),
        ha="center",
        va="center",
        fontsize=size[0] if size else 9,
        color=ink,
        parse_math=False,
    )


def _arrow(axes: "Axes", place: float, high: float, low: float, color: str = MUTED) -> None:
    axes.annotate("", (place, low), (place, high), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.5})


if __name__ == "__main__":
    print(draw())
