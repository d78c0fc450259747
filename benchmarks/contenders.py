"""Forward passes of other ways to run the same weights, each at its best honest setting. Pixels are ready-made."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models import get_model

from infer_torchvision_resnext.resnext.machine.threads import fixed_threads

Forward = Callable[[], object]


def torch_eager(name: str, folder: Path, batch: int) -> Forward:
    """What torchvision's documentation shows."""
    return _ready(_network(name, folder), _pixels(batch))


def torch_channels_last_bf16(name: str, folder: Path, batch: int) -> Forward:
    network = _network(name, folder).to(torch.bfloat16, memory_format=torch.channels_last)
    return _ready(network, _pixels(batch).to(torch.bfloat16, memory_format=torch.channels_last))


def timm_eager(name: str, folder: Path, batch: int) -> Forward:
    import timm

    network = timm.create_model(name)
    network.load_state_dict(torch.load(folder / f"{name}.pth", weights_only=True))
    return _ready(network.eval().to(memory_format=torch.channels_last), _pixels(batch))


def onnx_runtime(name: str, folder: Path, batch: int) -> Forward:
    import onnxruntime

    file = folder.parent / f"{name}.onnx"
    if not file.is_file():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _network(name, folder),
                (_pixels(2),),
                file,
                input_names=["pixels"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = _pixels(batch).numpy()
    return lambda: session.run(None, {"pixels": pixels})


def openvino(file: Path, precision: str, batch: int) -> Forward:
    """OpenVINO's own forward pass of the graph that the plugin runs, without the plugin."""
    import openvino as ov

    hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(file, "CPU", hints).create_infer_request()
    crops = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    return lambda: request.infer([crops], share_inputs=True)


def _network(name: str, folder: Path) -> Any:
    network = get_model(name)
    network.load_state_dict(torch.load(folder / f"{name}.pth", weights_only=True))
    return network.eval().requires_grad_(False)


def _pixels(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def _ready(network: Any, pixels: torch.Tensor) -> Forward:
    def forward() -> object:
        # As in a process without Ikomia, which has OpenMP choose the number of threads again each time.
        with torch.inference_mode(), fixed_threads():
            return network(pixels)

    return forward
