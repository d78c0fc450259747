"""What the report says in words and tables, below its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..resnext.network.quantization import Quantized
from .evaluation import Evaluation
from .page import percent


@dataclass(frozen=True)
class Section:
    """Sentences, then a table of names and values."""

    heading: str
    lines: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


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
