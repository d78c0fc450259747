"""Which epoch is kept, and when training ends early: of a classifier alone that tells black images from white ones."""

import numpy as np
import pytest
import torch
from PIL import Image

from train_torchvision_resnext.parameters import Parameters
from train_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")

NETWORK = Architecture((1,), 4, 4)
LABELS = ("black", "white")
BLACK, WHITE = (range(4), range(250, 254))
EPOCHS = 8


@pytest.fixture
def start(tmp_path):
    """A model folder that calls everything black, by a margin of a tenth."""
    torch.manual_seed(0)
    network = NETWORK.build(len(LABELS))
    torch.nn.init.zeros_(network.fc.weight)
    network.fc.bias.data = torch.tensor([0.1, 0.0])
    folder = tmp_path / "start"
    write_model_folder(folder, ModelConfig.of(NETWORK, LABELS, Preprocessing(18, 16)), network.state_dict())
    return folder


def write_images(folder, levels):
    folder.mkdir(parents=True)
    for level in levels:
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / f"{level}.png")


def fit(start, tmp_path, val, **recipe):
    """Train on black and white images, validate with these levels of each label."""
    for label, levels in (("black", BLACK), ("white", WHITE)):
        write_images(tmp_path / "images" / "train" / label, levels)
    for label, levels in val.items():
        write_images(tmp_path / "images" / "val" / label, levels)
    own = {"weights": str(start), "layers": "1", "cardinality": 4, "bottleneck_width": 4, "input_size": 16}
    own |= {"feature_extract": True, "augmentation": "none", "precision": "fp32", "device": "cpu", "epochs": EPOCHS}
    own |= {"scheduler": "none", "warmup_epochs": 0, "momentum": 0, "batch_size": 8, "learning_rate": 0.001}
    return train(tmp_path / "images", Parameters(**{**own, "output_folder": str(tmp_path / "runs"), **recipe}))


def column(result, key):
    return [row[key] for row in result.history]


@pytest.mark.parametrize(("patience", "epochs"), [(0, EPOCHS), (1, 2), (2, 3), (EPOCHS - 1, EPOCHS), (100, EPOCHS)])
def test_of_equal_epochs_the_first_is_kept_and_patience_counts_from_it(patience, epochs, start, tmp_path):
    recipe = {"learning_rate": 0, "early_stopping_patience": patience}
    result = fit(start, tmp_path, {"black": [7], "white": [240]}, **recipe)
    assert len(set(zip(column(result, "val_top1"), column(result, "val_loss"), strict=True))) == 1
    assert (result.best_epoch, len(result.history), result.stopped) == (1, epochs, False)


def test_of_equal_accuracy_the_lower_loss_is_better(start, tmp_path):
    # White images are called black throughout, but less and less so.
    result = fit(start, tmp_path, {"white": [240]}, learning_rate=1e-6, early_stopping_patience=1)
    losses = column(result, "val_loss")
    assert set(column(result, "val_top1")) == {0}
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == EPOCHS
    assert (result.best_epoch, len(result.history)) == (EPOCHS, EPOCHS)


def test_of_equal_accuracy_a_higher_loss_is_no_better(start, tmp_path):
    # What is black is validated as white.
    result = fit(start, tmp_path, {"white": [7]}, early_stopping_patience=3)
    losses = column(result, "val_loss")
    assert set(column(result, "val_top1")) == {0}
    assert losses == sorted(losses)
    assert (result.best_epoch, len(result.history)) == (1, 4)


def test_a_higher_accuracy_is_better_whatever_the_loss(start, tmp_path):
    # The white one is found in time, while four black ones that are called white cost more and more.
    recipe = {"learning_rate": 0.003, "early_stopping_patience": 5, "epochs": 12}
    result = fit(start, tmp_path, {"white": [7, 8, 9, 10, 240]}, **recipe)
    accuracies, losses = column(result, "val_top1"), column(result, "val_loss")
    assert accuracies[0] == 0 < accuracies[-1]
    first = next(number for number, accuracy in enumerate(accuracies) if accuracy > 0)
    assert losses == sorted(losses)
    assert (result.best_epoch, len(result.history)) == (first + 1, first + 6)
