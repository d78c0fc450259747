"""Networks that are converted once in a run of the tests, by whichever process is first.

`torch.export` and what follows take seconds even for the tiny networks of the tests, which are few. They are told
apart by all that a conversion sees: layers with their settings, weights and preprocessing. Each test still has a cache
of its own, filled and looked up as ever. `test_conversion.py` calls the conversion itself.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from infer_torchvision_resnext.resnext.machine.disk import whole_folder
from infer_torchvision_resnext.resnext.network import conversion as in_inference
from train_torchvision_resnext.resnext.network import conversion as in_training


def convert_once(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let both plugins keep what they convert, and PyTorch what it translates to, until the patch is undone.

    Args:
        folder: for the converted networks; shared by the processes of a run.
    """
    with contextlib.suppress(ImportError, AttributeError):
        # Each export goes through two thousand operations anew, for a second.
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
    for module in (in_inference, in_training):
        patch.setattr(module, "to_openvino", _kept(module.to_openvino, folder / "openvino", _write_graph, _read_graph))
        patch.setattr(module, "crops_to_onnx", _kept(module.crops_to_onnx, folder / "onnx", _write_onnx, _read_onnx))


def _kept(
    convert: Callable[..., Any], folder: Path, write: Callable[[Any, Path], None], read: Callable[[Path], Any]
) -> Callable[..., Any]:
    folder.mkdir(parents=True, exist_ok=True)

    def converted(network: nn.Module, preprocessing: Any) -> Any:
        place = folder / _content(network, preprocessing)
        if not place.is_dir():
            model = convert(network, preprocessing)
            with whole_folder(place, replace=False) as draft:
                write(model, draft)
        return read(place)

    return converted


def _write_graph(graph: Any, folder: Path) -> None:
    import openvino as ov

    ov.save_model(graph, folder / "model.xml", compress_to_fp16=False)


def _read_graph(folder: Path) -> Any:
    import openvino as ov

    return ov.Core().read_model(folder / "model.xml")


def _write_onnx(message: Any, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(message.SerializeToString())


def _read_onnx(folder: Path) -> Any:
    import onnx

    return onnx.load(folder / "model.onnx")


def _content(network: nn.Module, preprocessing: Any) -> str:
    content = hashlib.sha256(f"{network!r} {network.training} {preprocessing}".encode())
    for name, tensor in network.state_dict().items():
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return content.hexdigest()
