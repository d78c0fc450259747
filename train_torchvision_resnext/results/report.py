"""The report: pictures, and one page that shows at a glance how good the model is and what it confuses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..metrics.evaluation import Evaluation
from ..parameters.recipe import Measure
from ..resnext.folder.quantization import Quantized
from ..resnext.trust.calibration import cross_entropy
from .answers import Answers
from .charts import class_bars, confusion_matrix, learning_curves, save
from .mistakes import grid, ranked
from .page import Picture, percent, write_page
from .reliability import reliability_diagram

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name(f"{PAGE}.jinja")

CURVES = "learning_curves.png"
CONFUSION = "confusion_matrix.png"
CLASSES = "per_class.png"
MISTAKES = "worst_mistakes.png"
RELIABILITY = "reliability.png"
CAPTIONS = {
    CURVES: "As measured during the training, in its precision; accuracies are of the validation images. The dashed "
    "line is the epoch that was kept.",
    CONFUSION: "Rows are the true classes, columns the predicted ones. Blue is right, orange is wrong.",
    CLASSES: "Precision: of the images said to be of a class, the fraction that is. Recall: of its images, the "
    "fraction found. F1 is low when either is.",
    MISTAKES: "In color what the model said, and how sure it was, as inference says it. A sure mistake is often a "
    "wrong label, a rare view, or two classes in one picture.",
    RELIABILITY: "Answers gathered by how sure they are, in light blue how many. Below the dashed line they are right "
    "less often than they claim, above it more often; few answers tell little, as the thin lines show.",
}


@dataclass(frozen=True)
class Section:
    """What else the page says: sentences, then a table of names and values."""

    heading: str
    lines: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def write_report(
    folder: Path,
    answers: Answers,
    history: Sequence[Mapping[str, float]],
    sections: Sequence[Section],
    by: Measure = "top1",
) -> list[Path]:
    """Write the report into a folder, which is made when needed.

    Args:
        answers: to the validation images; one that cannot be read any more is shown as missing.
        history: a row an epoch, see `learning_curves`; without rows there is no such picture.
        by: what the best epoch was chosen by.

    Returns:
        The files written: the pictures, then the page.

    Raises:
        OSError: the folder cannot be written.
    """
    evaluation, worst = answers.evaluation, ranked(answers)
    figures = {CURVES: learning_curves(history, by)} if history else {}
    figures |= {CONFUSION: confusion_matrix(evaluation), CLASSES: class_bars(evaluation), MISTAKES: grid(worst)}
    if answers.temperature:
        figures[RELIABILITY] = reliability_diagram(answers)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [Picture(save(figure, folder / name), CAPTIONS[name]) for name, figure in figures.items()]
    calibrated = answers.temperature not in (None, 1)
    columns = list(dict.fromkeys(key for row in history for key in row))
    page = write_page(
        folder / PAGE,
        TEMPLATE,
        evaluation=evaluation,
        guessing=math.log(len(answers.labels)),
        support={metrics.label: metrics.support for metrics in evaluation.per_class},
        pictures=pictures,
        calibrated=calibrated,
        calibrated_loss=cross_entropy(answers.probabilities, answers.targets) if calibrated else None,
        mistakes=[answer for answer in worst if not answer.right],
        columns=[column.replace("_", " ") for column in columns],
        epochs=[[f"{row[column]:.5g}" if column in row else "" for column in columns] for row in history],
        sections=sections,
    )
    return [*(picture.file for picture in pictures), page]


def judged_once(test: Evaluation) -> Section:
    """Of the images of `test/`."""
    low, high = test.top1_interval
    lines = ["They had no part in the training, nor in the choice of its best epoch.", *test.notes]
    figures = {
        "top-1": f"{percent(test.top1)} of {test.count:,}, 95 % interval {percent(low)} to {percent(high)}",
        "macro F1": percent(test.macro_f1),
        "loss": f"{test.loss:.3f}",
    }
    return Section("Test images, judged once", lines, figures)


def compared(int8: Quantized) -> Section:
    """Of the int8 network and the exact one."""
    allowed = f"each figure may be worse by {100 * int8.max_drop:.4g} points"
    verdict = "; ".join(int8.worse) if int8.worse else allowed
    pairs = {
        "accuracy": (int8.fp32_accuracy, int8.int8_accuracy),
        "calibration error": (int8.fp32_calibration_error, int8.int8_calibration_error),
        "unknown": (int8.fp32_unknown, int8.int8_unknown),
    }
    figures = {
        name: f"{100 * exact:.2f} % in fp32, {100 * rounded:.2f} % in int8"
        for name, (exact, rounded) in pairs.items()
        if exact is not None and rounded is not None
    }
    kept = f"The int8 network is {'kept' if int8.kept else 'not kept'}: {verdict}."
    return Section("What int8 costs", [kept], {**figures, "images": f"{int8.images:,}"})
