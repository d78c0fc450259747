"""Which epoch is best: by the measure that was chosen; of equal ones, that with the lowest loss; then the first."""

from collections.abc import Mapping, Sequence

from ..parameters.recipe import Measure

Row = Mapping[str, float]
"""What is known of an epoch; here `val_loss` and `val_` with the measure's name count, all finite."""

NAMES: dict[Measure, str] = {
    "top1": "top-1",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "loss": "validation loss",
    "expected_cost": "expected cost",
}
"""As a person says them."""

LESS_IS_BETTER = ("loss", "expected_cost")


def better(row: Row, than: Row | None, by: Measure) -> bool:
    """Whether an epoch is better than the best one before it. `None` = there is none."""
    return than is None or _rank(row, by) > _rank(than, by)


def best(history: Sequence[Row], by: Measure) -> Row:
    """Of equally good epochs the first. `history` holds at least one."""
    return max(history, key=lambda row: _rank(row, by))


def best_epoch(history: Sequence[Row], by: Measure) -> int:
    """The number of the best epoch, counted from 1; 0 without any."""
    return int(best(history, by)["epoch"]) if history else 0


def measured(row: Row, by: Measure) -> str:
    """What the measure was in an epoch, for a person: `top-1 91.2 %`."""
    value = row[f"val_{by}"]
    return f"{NAMES[by]} " + (f"{value:.4g}" if by in LESS_IS_BETTER else f"{100 * value:.1f} %")


def _rank(row: Row, by: Measure) -> tuple[float, float]:
    value = row[f"val_{by}"]
    return -value if by in LESS_IS_BETTER else value, -row["val_loss"]
