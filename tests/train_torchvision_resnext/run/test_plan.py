"""What is settled before training: whether features are cached."""

from pathlib import Path

import pytest
import torch
from torchvision.transforms import v2

from train_torchvision_resnext.data.augmentation import Augmentation
from train_torchvision_resnext.data.dataset import Dataset
from train_torchvision_resnext.parameters.task import Parameters
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.run.plan import Plan, Start

NETWORK = Architecture((1, 1), 4, 4)


def plan(**values):
    dataset = Dataset(Path(), ("0", "1"), (), (), (), (), "")
    start = Start(NETWORK, NETWORK.build(2), Preprocessing(18, 16), ())
    parameters = Parameters(**{"feature_extract": True, **values})
    return Plan(parameters, dataset, start, torch.device("cpu"), "fp32", 0, Path(), ())


@pytest.mark.parametrize(
    ("values", "cached"),
    [
        ({"augmentation": "none"}, True),
        ({"augmentation": "light"}, False),
        ({"augmentation": "none", "mixup": 0.2}, False),
        ({"augmentation": "none", "cutmix": 1}, False),
        ({"augmentation": "none", "random_erasing": 0.1}, False),
        ({"augmentation": "none", "feature_extract": False}, False),
    ],
)
def test_features_are_cached_only_where_pixels_never_change(values, cached):
    assert plan(**values).caches_features is cached


def test_any_further_step_turns_the_cache_off(monkeypatch):
    monkeypatch.setattr(Augmentation, "_steps", (v2.RandomRotation(10),))
    assert not plan(augmentation="none").caches_features
