"""What the tests of every runtime begin with."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infer_torchvision_resnext.cache import Cache
from infer_torchvision_resnext.model import Model
from infer_torchvision_resnext.parameters import Parameters
from infer_torchvision_resnext.weights import load_model


def model_of(folder: Path, cache: Cache) -> Model:
    return load_model(Parameters(weights=str(folder)), cache)


def crops(count: int, side: int = 32) -> NDArray[np.uint8]:
    """Noise, the same in every call: count x side x side x 3."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
