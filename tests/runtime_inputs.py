"""What the tests of every runtime begin with."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.random_weights import decided_network
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.model import Model
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture


def model_of(folder: Path, cache: Cache) -> Model:
    return load_model(Parameters(weights=str(folder)), cache)


def random_model(architecture: Architecture, folder: Path, cache: Cache) -> Model:
    """Of five classes, with weights and preprocessing that no default comes near to; `folder` is made."""
    torch.manual_seed(2)
    state = decided_network(architecture.build(5)).state_dict()
    preprocessing = Preprocessing(40, 36, (0.1, 0.5, 0.9), (0.2, 0.3, 0.4))
    write_model_folder(folder, ModelConfig.of(architecture, tuple("abcde"), preprocessing), state)
    return model_of(folder, cache)


def crops(count: int, side: int = 32) -> NDArray[np.uint8]:
    """Noise, the same in every call: count x side x side x 3."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
