from pathlib import Path

import numpy as np
import pytest

from train_torchvision_resnext.data.samples import Sample
from train_torchvision_resnext.resnext.trust.calibration import calibrate
from train_torchvision_resnext.resnext.trust.intervals import wilson
from train_torchvision_resnext.results.answers import Answers
from train_torchvision_resnext.results.reliability import reliability_diagram


@pytest.mark.parametrize(
    ("images", "heading", "panes"),
    [
        (400, "Do the probabilities hold?", ["before calibration", "after calibration"]),
        (20, "Do the probabilities hold, without calibration?", [""]),
    ],
)
def test_the_diagram_shows_shares_with_their_intervals_once_where_nothing_was_calibrated(images, heading, panes):
    # Three in four are right, each claimed with 95 % or so.
    targets = np.tile([0, 0, 0, 1], images // 4)
    logits = np.tile(np.array([[3, 0]], np.float32), (images, 1))
    samples = [Sample(Path(f"{place}.png"), target) for place, target in enumerate(targets)]
    answers = Answers.judge(samples, logits, "ab").at(calibrate(logits, targets).temperature)
    figure = reliability_diagram(answers)
    assert figure.get_suptitle() == heading
    assert [axes.get_title(loc="left") for axes in figure.axes] == panes
    sure = 1 / (1 + np.exp(-3))
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == "found")
    assert (line.get_xdata(), line.get_ydata()) == (pytest.approx([sure]), [0.75])
    (interval,) = figure.axes[0].collections[0].get_segments()
    assert interval == pytest.approx(np.column_stack([[sure, sure], wilson(images * 3 // 4, images)]))
