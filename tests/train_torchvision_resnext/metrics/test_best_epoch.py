import pytest

from train_torchvision_resnext.metrics.best_epoch import best, best_epoch, better, measured

ROWS = [
    {
        "epoch": number,
        "val_top1": top1,
        "val_macro_f1": f1,
        "val_balanced_accuracy": balanced,
        "val_loss": loss,
        "val_expected_cost": cost,
    }
    for number, top1, f1, balanced, loss, cost in (
        (1, 0.5, 0.3, 0.2, 3.0, 9.0),
        (2, 0.8, 0.4, 0.3, 1.0, 8.0),
        (3, 0.7, 0.6, 0.4, 2.0, 7.0),
        (4, 0.7, 0.5, 0.6, 2.0, 7.5),
        (5, 0.6, 0.5, 0.5, 0.5, 7.5),
        (6, 0.6, 0.5, 0.5, 0.9, 2.0),
    )
]


@pytest.mark.parametrize(
    ("by", "number", "said"),
    [
        ("top1", 2, "top-1 80.0 %"),
        ("macro_f1", 3, "macro F1 60.0 %"),
        ("balanced_accuracy", 4, "balanced accuracy 60.0 %"),
        ("loss", 5, "validation loss 0.5"),
        ("expected_cost", 6, "expected cost 2"),
    ],
)
def test_each_measure_has_its_own_best_epoch(by, number, said):
    kept = None
    for row in ROWS:
        kept = row if better(row, kept, by) else kept
    assert kept["epoch"] == best(ROWS, by)["epoch"] == best_epoch(ROWS, by) == number
    assert measured(kept, by) == said


@pytest.mark.parametrize("by", ["top1", "macro_f1", "balanced_accuracy", "expected_cost"])
def test_of_equal_epochs_the_lower_loss_is_best_and_then_the_first(by):
    rows = [{"epoch": number, f"val_{by}": 0.5, "val_loss": loss} for number, loss in enumerate((3, 1, 1, 2), 1)]
    assert best_epoch(rows, by) == 2
    assert not better(rows[2], rows[1], by)
    assert best_epoch([], by) == 0
