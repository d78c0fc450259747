"""Networks that are converted once in a session.

`torch.export` and what follows take seconds even for the tiny networks of the tests, which are few. They are told
apart by all that a conversion sees: layers with their settings, weights and preprocessing. Each test still has a cache
of its own, filled and looked up as ever. `test_conversion.py` calls the conversion itself.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from infer_torchvision_resnext.resnext.network import conversion as in_inference
from train_torchvision_resnext.resnext.network import conversion as in_training


def convert_once(patch: pytest.MonkeyPatch) -> None:
    """Let both plugins remember what they convert, until the patch is undone."""
    for module in (in_inference, in_training):
        patch.setattr(module, "to_openvino", _remembered(module.to_openvino, lambda graph: graph.clone()))
        patch.setattr(module, "crops_to_onnx", _remembered(module.crops_to_onnx, _copy_of_message))


def _remembered(convert: Callable[..., Any], copied: Callable[[Any], Any]) -> Callable[..., Any]:
    known: dict[str, Any] = {}

    def converted(network: nn.Module, preprocessing: Any) -> Any:
        key = _content(network, preprocessing)
        if key not in known:
            known[key] = convert(network, preprocessing)
        return copied(known[key])

    return converted


def _copy_of_message(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _content(network: nn.Module, preprocessing: Any) -> str:
    content = hashlib.sha256(f"{network!r} {network.training} {preprocessing}".encode())
    for name, tensor in network.state_dict().items():
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return content.hexdigest()
