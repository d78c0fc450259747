import pytest

from train_torchvision_resnext.fitting.failures import divergence
from train_torchvision_resnext.fitting.loop import Fitted
from train_torchvision_resnext.parameters import Parameters


@pytest.mark.parametrize(
    ("best", "last", "diverged"),
    [
        ((0.1, 0.1), (0.1, 0.1), False),
        ((104.0, 10_000.0), (104.0, 10_000.0), False),
        ((0.1, 318.0), (0.1, 0.1), False),
        ((182.0, 0.1), (0.1, 0.1), False),
        ((10_001.0, 0.1), (0.1, 0.1), True),
        ((0.1, 0.1), (105.0, 0.1), True),
        ((0.1, 1e22), (0.1, 0.1), False),
        ((0.1, 0.1), (0.1, 10_001.0), True),
    ],
)
def test_where_reason_ends(best, last, diverged):
    """Losses of training and validation; in the first epoch both may be large, and mean nothing then."""

    rows = [
        {"epoch": 3, "train_loss": last[0], "val_loss": last[1]},
        {"epoch": 1, "train_loss": best[0], "val_loss": best[1]},
    ]
    assert bool(divergence(rows, Parameters())) == diverged


def test_an_epoch_between_the_best_and_the_last_may_mean_nothing():
    rows = [{"epoch": epoch, "train_loss": 1.0, "val_loss": 1.0, "val_top1": 0.5} for epoch in (1, 2, 3)]
    for epoch, failed in ((2, False), (3, True)):
        history = [{**row, "train_loss": 1e9} if row["epoch"] == epoch else row for row in rows]
        assert bool(Fitted.of(history, Parameters(), False, "").failure) == failed
