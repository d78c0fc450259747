"""Which epoch is best: the one with the highest top-1 accuracy; of equal ones, that with the lowest loss."""

from collections.abc import Mapping, Sequence

Row = Mapping[str, float]
"""What is known of an epoch; here `val_top1` and `val_loss` count, both finite."""


def better(row: Row, than: Row | None) -> bool:
    """Whether an epoch is better than the best one before it. `None` = there is none."""
    return than is None or _rank(row) > _rank(than)


def best(history: Sequence[Row]) -> Row:
    """Of equally good epochs the first. `history` holds at least one."""
    return max(history, key=_rank)


def _rank(row: Row) -> tuple[float, float]:
    return row["val_top1"], -row["val_loss"]
