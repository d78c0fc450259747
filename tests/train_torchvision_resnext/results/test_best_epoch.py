import pytest

from train_torchvision_resnext.results.best_epoch import best, better


@pytest.mark.parametrize(
    ("top1", "loss", "expected"),
    [((0.5, 0.75, 0.5), (3, 2, 1), 1), ((0.5, 0.5, 0.5), (3, 1, 2), 1), ((0.5, 0.5), (1, 1), 0), ((0.0,), (9,), 0)],
)
def test_the_epoch_marked_is_the_epoch_kept(top1, loss, expected):
    rows = [{"val_top1": accuracy, "val_loss": cost} for accuracy, cost in zip(top1, loss, strict=True)]
    kept = None
    for row in rows:
        kept = row if better(row, kept) else kept
    assert kept is rows[expected]
    assert best(rows) is rows[expected]
