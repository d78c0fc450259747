"""Models to time: model folders with random weights under the published names, quantized where NNCF is installed."""

from pathlib import Path

import numpy as np
import torch
from torchvision.models import get_model

from benchmarks.random_weights import decided_network
from examples.ikomia_home import DEMO
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture

LABELS = tuple(f"class {index}" for index in range(1000))


def model_folder(name: str, int8: bool = False) -> Path:
    """A model folder, made once; beside the weights lies `<name>.pth` for others than this plugin.

    int8 is calibrated on noise, for speed alone.
    """
    folder = DEMO / "speed_models" / name
    if not (folder / f"{name}.pth").is_file():
        torch.manual_seed(0)
        state = decided_network(get_model(name)).state_dict()
        config = ModelConfig.of(Architecture.from_name(name), LABELS, Preprocessing())
        write_model_folder(folder, config, state, lambda draft: torch.save(state, draft / f"{name}.pth"))
    if int8 and not (folder / "openvino").is_dir():
        try:
            from infer_torchvision_resnext.resnext.folder.quantization import Validation, quantize

            crops = np.random.default_rng(0).integers(0, 256, (4, 1, 224, 224, 3), dtype=np.uint8)
            quantize(folder, crops, Validation(crops), max_drop=1)
        except RuntimeError as error:
            print(f"without int8: {error}")
    return folder
