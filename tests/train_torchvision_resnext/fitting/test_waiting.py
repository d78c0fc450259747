"""Nothing within a step reads from the device: what is read does not depend on how many steps there are."""

import warnings
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import resnet18

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.fitting.recipe import RunningAverage
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")

READ = torch.ops.aten._local_scalar_dense.default
"""What `item()`, `float()`, `if tensor:` and all their like come to."""


class Operations(TorchDispatchMode):
    """Counts what is asked of torch while it is entered."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """60 images to train on; 9 to validate with, which are one batch in all of these trainings."""
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 20, "val": 3})


def settings(folder, batch_size, **recipe):
    own = {"batch_size": batch_size, "epochs": 2, "output_folder": folder, "export_pth": False, **recipe}
    return read_host_map({**TINY, **{key: str(value) for key, value in own.items()}})


def reads(digits, folder, batch_size, **recipe):
    with Operations() as operations:
        train(digits, settings(folder, batch_size, **recipe))
    return operations.counts[READ]


def test_more_steps_read_no_more(digits, tmp_path):
    # Of AdamW's counters it is said by the GPU's test: on a CPU they lie in the host's memory, and are read there.
    recipe = {"ema_decay": 0.9, "class_balance": "weighted", "gradient_accumulation": 2}
    few = reads(digits, tmp_path / "few", 30, **recipe)
    many = reads(digits, tmp_path / "many", 10, **recipe)
    assert few > 0, "the figures of an epoch are read"
    assert many == few


def test_the_running_average_of_a_whole_network_is_a_handful_of_operations():
    network = resnet18()
    average = RunningAverage(network, 0.9)
    average.update()
    with Operations() as operations:
        average.update()
    assert operations.counts.total() <= 2
    assert operations.counts[READ] == 0
    assert len(network.state_dict()) == 122


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("recipe", [{"ema_decay": 0.9}, {"precision": "fp16"}, {"optimizer": "adamw"}])
def test_more_steps_wait_no_more_for_the_gpu(recipe, digits, tmp_path):
    def waits(batch_size):
        own = {"device": "cuda", "num_workers": 0, **recipe}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                train(digits, settings(tmp_path / str(batch_size), batch_size, **own))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)

    waits(30)  # the first training sets things up
    assert waits(10) == waits(30)
