import pytest

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.machine.threads import fixed_threads
from train_torchvision_resnext.run.progress import Listener
from train_torchvision_resnext.training import train


def test_the_adjustment_that_ikomia_turns_on_is_off_within_and_on_again_after(openmp_adjusts):
    with fixed_threads():
        assert openmp_adjusts() == 0
    assert openmp_adjusts() == 1
    with pytest.raises(ValueError, match="x"), fixed_threads():
        raise ValueError("x")
    assert openmp_adjusts() == 1


def test_training_runs_without_it(openmp_adjusts, tmp_path):
    folder = write_digits(tmp_path / "digits", {"train": 4, "val": 2})
    seen = []
    listener = Listener(epoch=lambda row: seen.append(openmp_adjusts()))
    train(folder, read_host_map({**TINY, "output_folder": str(tmp_path / "runs"), "epochs": "2"}), listener)
    assert seen == [0, 0]
    assert openmp_adjusts() == 1
