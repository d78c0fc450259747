"""A ResNeXt, straight in OpenVINO's operators: from uint8 crops to logits, without torch.

Batch normalization is folded into the convolutions while the weights are still numpy arrays, and the pixels are
scaled and normalized in the graph, where it costs nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.preprocessing import Preprocessing
from ..machine.telemetry import without_telemetry
from .architecture import Architecture

with without_telemetry():
    import openvino as ov
    from openvino import opset13 as op

EPSILON = 1e-5
"""Added to a batch normalization's variance; torchvision's default, which no state dict carries."""

INPUT = "crops"
OUTPUT = "logits"

Arrays = Mapping[str, NDArray[Any]]
"""A state dict: torchvision's names → arrays of floating point."""


def build_graph(architecture: Architecture, arrays: Arrays, preprocessing: Preprocessing) -> ov.Model:
    """The network as an OpenVINO model.

    Args:
        arrays: weights that fit the architecture.
        preprocessing: mean and std are taken from it; any size of the square can be run.

    Returns:
        Input `crops`: uint8 N x S x S x 3, RGB, any N and S. Output `logits`: float32 N x C.
    """
    crops = op.parameter(ov.PartialShape([-1, -1, -1, 3]), np.uint8, name=INPUT)
    pixels = op.transpose(op.convert(crops, "f32"), _indices(0, 3, 1, 2))
    # ((x / 255) - mean) / std, in two operations.
    mean = np.asarray(preprocessing.mean, np.float64).reshape(1, 3, 1, 1) * 255
    factor = 1 / (255 * np.asarray(preprocessing.std, np.float64).reshape(1, 3, 1, 1))
    pixels = op.multiply(op.subtract(pixels, _constant(mean)), _constant(factor))
    network = _Layers(arrays)
    large = architecture.stem == "imagenet"
    features = op.relu(network.convolution(pixels, "conv1", "bn1", stride=2 if large else 1))
    if large:
        features = op.max_pool(features, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3], "floor", "explicit").output(0)
    for stage, blocks in enumerate(architecture.layers, start=1):
        for block in range(blocks):
            first_stride = 2 if block == 0 and stage > 1 else 1
            features = network.block(features, f"layer{stage}.{block}", architecture.cardinality, first_stride)
    pooled = op.reduce_mean(features, _indices(2, 3), keep_dims=False)
    logits = op.add(
        op.matmul(pooled, _constant(arrays["fc.weight"]), transpose_a=False, transpose_b=True),
        _constant(arrays["fc.bias"].reshape(1, -1)),
    )
    result = op.result(logits)
    result.get_output_tensor(0).set_names({OUTPUT})
    model = ov.Model([result], [crops], "resnext")
    model.input(0).get_tensor().set_names({INPUT})
    return model


class _Layers:
    """Writes the layers of a state dict."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays

    def block(self, features: Any, name: str, cardinality: int, stride: int) -> Any:
        """A `Bottleneck` as torchvision has it: the grouped convolution carries the stride."""
        branch = op.relu(self.convolution(features, f"{name}.conv1", f"{name}.bn1"))
        branch = op.relu(self.convolution(branch, f"{name}.conv2", f"{name}.bn2", stride, cardinality))
        branch = self.convolution(branch, f"{name}.conv3", f"{name}.bn3")
        if f"{name}.downsample.0.weight" in self._arrays:
            features = self.convolution(features, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return op.relu(op.add(branch, features))

    def convolution(self, features: Any, name: str, norm: str, stride: int = 1, groups: int = 1) -> Any:
        """A convolution with its batch normalization folded in."""
        weight, bias = self._folded(name, norm)
        side = weight.shape[-1]
        padding = [side // 2] * 2
        if groups > 1:
            weight = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
            convolved = op.group_convolution(
                features, _constant(weight), [stride] * 2, padding, padding, [1, 1], "explicit"
            )
        else:
            convolved = op.convolution(features, _constant(weight), [stride] * 2, padding, padding, [1, 1], "explicit")
        return op.add(convolved, _constant(bias.reshape(1, -1, 1, 1)))

    def _folded(self, name: str, norm: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight O x I x H x W and bias O."""
        of = self._arrays
        deviation = np.sqrt(of[f"{norm}.running_var"].astype(np.float64) + EPSILON)
        scale = of[f"{norm}.weight"].astype(np.float64) / deviation
        bias = of[f"{norm}.bias"].astype(np.float64) - of[f"{norm}.running_mean"].astype(np.float64) * scale
        weight = of[f"{name}.weight"] * scale.astype(np.float32).reshape(-1, 1, 1, 1)
        return weight.astype(np.float32, copy=False), bias.astype(np.float32)


def _constant(values: NDArray[Any]) -> Any:
    return op.constant(np.ascontiguousarray(values, np.float32))


def _indices(*values: int) -> Any:
    return op.constant(np.asarray(values, np.int64))
