"""The network in the formats of other runtimes, converted from torchvision's own by `torch.export`."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.export import Dim

from ..images.preprocessing import Preprocessing
from ..machine.devices import full_fp32
from ..machine.telemetry import without_telemetry
from .normalization import Normalize
from .outputs import OUTPUTS

if TYPE_CHECKING:
    import onnx
    import openvino as ov

INPUT = "crops"

OPSET = 18
"""Of ONNX, from 2022: the oldest that PyTorch's exporter writes."""


class ConversionError(RuntimeError):
    """The network cannot be converted, or the other format answers differently; the message says why."""


class FromCrops(nn.Module):
    """A network that normalizes its pixels itself.

    Input: uint8 N x S x S x 3, RGB, as `Preprocessing.crop` gives it. Outputs: those of the network, float32, whatever
    the precision of its weights; pixels are normalized in fp32.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self._normalize = Normalize(preprocessing)
        self._dtype = next(network.parameters()).dtype

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # Numbers first, for TensorRT does not transpose bytes. Of channels that come last, torch would pool in a way
        # that takes ten operations to convert.
        pixels = self._normalize(crops.float()).contiguous()
        return tuple(told.float() for told in self.network(pixels.to(self._dtype)))


@full_fp32()
def to_openvino(network: nn.Module, preprocessing: Preprocessing) -> "ov.Model":
    """The network as an OpenVINO model.

    Args:
        network: one that answers apart; in evaluation mode, on the CPU, in fp32.

    Returns:
        Input `crops`: uint8 N x S x S x 3, RGB, any N and S. Outputs, float32: `logits` N x C, `features` N x F,
        `activations` N x F x h x h.

    Raises:
        ConversionError: PyTorch or OpenVINO cannot convert it.
    """
    with without_telemetry():
        import openvino as ov

    # No operation knows the side, which OpenVINO is told to leave open: with one of them, tracing is quicker.
    program = _from_crops(network, preprocessing, dynamic=(0,))
    try:
        with _root_logger_kept():
            model = ov.convert_model(program, input=[ov.PartialShape([-1, -1, -1, 3])])
    except Exception as error:
        # OpenVINO's errors have no base class of their own.
        raise ConversionError(f"OpenVINO cannot convert this network: {error}") from error
    model.input(0).get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model


def crops_to_onnx(network: nn.Module, preprocessing: Preprocessing) -> "onnx.ModelProto":
    """The network as an ONNX model, with input and output as `to_openvino` has them.

    Args:
        network: one that answers apart; in evaluation mode, on the CPU, in fp32 or fp16.

    Raises:
        ConversionError: PyTorch cannot convert it, or a package is missing.
    """
    return to_onnx(_from_crops(network, preprocessing, dynamic=(0, 1, 2)), INPUT, *OUTPUTS)


@full_fp32()
def to_onnx(program: torch.export.ExportedProgram, input_name: str, *output_names: str) -> "onnx.ModelProto":
    """A program as an ONNX model with its input and outputs named. Raises: ConversionError."""
    try:
        import onnx

        converted = torch.onnx.export(
            program,
            input_names=[input_name],
            output_names=output_names,
            opset_version=OPSET,
            dynamo=True,
            # The default from torch 2.7 on; without it, operations remain that OpenCV and OpenVINO do not read.
            optimize=True,
            verbose=False,
        )
    except Exception as error:
        # The exporter raises errors of many kinds, for whatever it cannot translate.
        raise ConversionError(f"PyTorch cannot convert this network to ONNX: {error}") from error
    if converted is None:
        raise ConversionError("PyTorch gave no ONNX model")
    model: onnx.ModelProto = converted.model_proto
    # The exporter notes the stack of every node: paths of this machine, which are nobody's business.
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    return model


@full_fp32()
def traced(network: nn.Module, example: torch.Tensor, dynamic: Mapping[int, Any]) -> torch.export.ExportedProgram:
    """What `torch.export` finds in a forward pass.

    Args:
        example: an input; along dynamic axes with more than one element.
        dynamic: axes whose length may be another → their `Dim`.

    Raises:
        ConversionError: the network decides by its input's values, or by the length of a dynamic axis.
    """
    try:
        # Strict, the default up to torch 2.7, traces with Dynamo, which refuses the ninth network of a process.
        return torch.export.export(network, (example,), dynamic_shapes=(dict(dynamic),), strict=False)
    except Exception as error:
        # Tracing runs the network's own code, which may raise anything.
        raise ConversionError(f"PyTorch cannot export this network: {error}") from error


def require_onnx() -> None:
    """Raises: ConversionError, naming what to install, where ONNX files cannot be written or compared."""
    try:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            import_module(package)
    except ImportError as error:
        raise ConversionError(
            f"ONNX export needs the packages onnx, onnxscript and onnxruntime ({error}): run pip install onnx "
            "onnxscript onnxruntime, with onnxruntime-gpu in the place of onnxruntime where that is used"
        ) from error


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """OpenVINO's converter silences the whole process's log, and leaves it so where it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def _from_crops(
    network: nn.Module, preprocessing: Preprocessing, dynamic: tuple[int, ...]
) -> torch.export.ExportedProgram:
    # A side at which even the last stage sees more than one pixel: 1 would be taken for a constant.
    example = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    return traced(FromCrops(network, preprocessing).eval(), example, dict.fromkeys(dynamic, Dim.DYNAMIC))
