import pytest

from train_torchvision_resnext.metrics.epoch_line import duration, epoch_line
from train_torchvision_resnext.parameters import Parameters

ROW = {"epoch": 3.0, "train_loss": 0.41234, "val_loss": 1.5, "val_top1": 0.9125, "seconds": 70.0}


def test_a_line_tells_epoch_loss_and_time_left():
    told = epoch_line(ROW, Parameters(epochs=15))
    assert told == "epoch 3 of 15: loss 0.4123, validation loss 1.5, top-1 91.2 %; about 14 min left"


def test_early_stopping_may_end_it_sooner():
    assert epoch_line(ROW, Parameters(epochs=4, early_stopping_patience=2)).endswith("; at most 70 s left")


def test_after_the_last_epoch_no_time_is_left():
    assert epoch_line(ROW, Parameters(epochs=3)).endswith("top-1 91.2 %")


@pytest.mark.parametrize(
    ("by", "value", "said"),
    [
        ("loss", 1.5, "top-1 91.2 %"),
        ("macro_f1", 0.875, "top-1 91.2 %, macro F1 87.5 %"),
        ("expected_cost", 0.25, "top-1 91.2 %, expected cost 0.25"),
    ],
)
def test_what_the_best_epoch_is_chosen_by_is_told(by, value, said):
    told = epoch_line({**ROW, f"val_{by}": value}, Parameters(epochs=3, best_epoch_by=by))
    assert told == f"epoch 3 of 3: loss 0.4123, validation loss 1.5, {said}"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (89 * 60, "89 min"), (90 * 60, "1 h 30 min"), (11100, "3 h 05 min")],
)
def test_durations_are_said_as_a_person_says_them(seconds, said):
    assert duration(seconds) == said
