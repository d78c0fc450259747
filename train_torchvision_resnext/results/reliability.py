"""The chart of how far probabilities hold."""

from typing import TYPE_CHECKING

import numpy as np

from ..resnext.trust.calibration import calibrated, reliability
from ..resnext.trust.intervals import wilson
from .answers import Answers
from .charts import GRID, INK, MUTED, RIGHT, SOFT, new_figure, set_heading, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES = 0.3
"""Height of the highest bar, so that it hides nothing."""


def reliability_diagram(answers: Answers) -> "Figure":
    """How often answers are right, by how sure they are: before and after calibration, or once where there is none."""
    temperature = answers.temperature or 1.0
    parts = {"": 1.0} if temperature == 1 else {"before calibration": 1.0, "after calibration": temperature}
    figure = new_figure(6 * len(parts), 4.2)
    for axes, (name, divisor) in zip(np.ravel(figure.subplots(1, len(parts))), parts.items(), strict=True):
        bins = reliability(calibrated(answers.logits, divisor), answers.targets)
        sure, right = [each.confidence for each in bins], [each.accuracy for each in bins]
        most = max(each.images for each in bins)
        heights = [MOST_IMAGES * each.images / most for each in bins]
        axes.bar(sure, heights, width=0.02, color=SOFT, label="images")
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="as promised")
        ends = [wilson(round(each.accuracy * each.images), each.images) for each in bins]
        axes.vlines(sure, *zip(*ends, strict=True), color=RIGHT, linewidth=1, alpha=0.5, label="95 % interval")
        axes.plot(sure, right, color=RIGHT, linewidth=2, marker="o", markersize=4, label="found")
        style_axes(axes, name)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04))
        axes.set_xlabel("how sure the answer is", color=MUTED)
        axes.set_ylabel("share of right answers", color=MUTED)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.legend(frameon=False, labelcolor=INK, fontsize=9, loc="upper left")
    set_heading(figure, f"Do the probabilities hold{', without calibration' if temperature == 1 else ''}?")
    return figure
