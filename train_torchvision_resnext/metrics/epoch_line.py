"""What a person is told after each epoch, in one line."""

from collections.abc import Mapping

from ..parameters.task import Parameters
from .best_epoch import measured


def epoch_line(row: Mapping[str, float], parameters: Parameters) -> str:
    """Epoch, losses, accuracy, what the best epoch is chosen by, and the time left, as if all took as long as this one.

    Args:
        row: `epoch` counted from 1, `train_loss`, `val_loss`, `val_top1` in [0, 1] and `seconds`, of this epoch.
    """
    by = parameters.best_epoch_by
    epoch = int(row["epoch"])
    line = (
        f"epoch {epoch} of {parameters.epochs}: loss {row['train_loss']:.4g}, "
        f"validation loss {row['val_loss']:.4g}, top-1 {100 * row['val_top1']:.1f} %"
    )
    if by not in ("top1", "loss"):
        line += f", {measured(row, by)}"
    left = (parameters.epochs - epoch) * row["seconds"]
    if not left:
        return line
    # Early stopping may end it sooner.
    return f"{line}; {'at most' if parameters.early_stopping_patience else 'about'} {duration(left)} left"


def duration(seconds: float) -> str:
    """Rounded as a person says it: `8 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
