"""A ResNeXt, straight in ONNX's operators: from uint8 crops to logits, without torch.

Batch normalizations are written as they are: ONNX Runtime folds them into the convolutions when it loads the graph.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..resnext.images.preprocessing import Preprocessing
from ..resnext.network.architecture import Architecture

EPSILON = 1e-5
"""Added to a batch normalization's variance; torchvision's default, which no state dict carries."""

INPUT = "crops"
OUTPUT = "logits"

OPSET, IR_VERSION = 17, 8
"""Of 2022, so that older versions of ONNX Runtime read the graph."""

FORMATS: Mapping[str, tuple[Any, int]] = {
    "fp32": (np.float32, TensorProto.FLOAT),
    "fp16": (np.float16, TensorProto.FLOAT16),
}

Arrays = Mapping[str, NDArray[Any]]
"""A state dict: torchvision's names → arrays of floating point."""


def build_graph(
    architecture: Architecture, arrays: Arrays, preprocessing: Preprocessing, precision: str = "fp32"
) -> onnx.ModelProto:
    """The network as an ONNX model.

    Args:
        arrays: weights that fit the architecture.
        preprocessing: mean and std are taken from it; any size of the square can be run.
        precision: fp32 or fp16, of the weights and of what is computed with them; pixels are normalized in fp32.

    Returns:
        Input `crops`: uint8 N x S x S x 3, RGB, any N and S. Output `logits`: float32 N x C.
    """
    network = _Layers(arrays, precision)
    pixels = network.node("Transpose", network.node("Cast", INPUT, to=TensorProto.FLOAT), perm=(0, 3, 1, 2))
    # ((x / 255) - mean) / std, in two operations.
    mean = np.asarray(preprocessing.mean, np.float64).reshape(1, 3, 1, 1) * 255
    factor = 1 / (255 * np.asarray(preprocessing.std, np.float64).reshape(1, 3, 1, 1))
    pixels = network.node("Sub", pixels, network.constant("mean", mean.astype(np.float32)))
    pixels = network.node("Mul", pixels, network.constant("factor", factor.astype(np.float32)))
    features = network.node("Cast", pixels, to=FORMATS[precision][1])
    large = architecture.stem == "imagenet"
    features = network.convolution(features, "conv1", "bn1", stride=2 if large else 1, relu=True)
    if large:
        features = network.node("MaxPool", features, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    for stage, blocks in enumerate(architecture.layers, start=1):
        for block in range(blocks):
            first_stride = 2 if block == 0 and stage > 1 else 1
            features = network.block(features, f"layer{stage}.{block}", architecture.cardinality, first_stride)
    pooled = network.node("Flatten", network.node("GlobalAveragePool", features))
    logits = network.node("Gemm", pooled, *network.weights("fc.weight", "fc.bias"), transB=1)
    network.node("Cast", logits, to=TensorProto.FLOAT, output=OUTPUT)
    classes = len(arrays["fc.bias"])
    graph = helper.make_graph(
        network.nodes,
        "resnext",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ("N", "S", "S", 3))],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ("N", classes))],
        network.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class _Layers:
    """Writes the layers of a state dict, in the order in which they are asked for."""

    def __init__(self, arrays: Arrays, precision: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._arrays = arrays
        self._dtype = FORMATS[precision][0]

    def block(self, features: str, name: str, cardinality: int, stride: int) -> str:
        """A `Bottleneck` as torchvision has it: the grouped convolution carries the stride."""
        branch = self.convolution(features, f"{name}.conv1", f"{name}.bn1", relu=True)
        branch = self.convolution(branch, f"{name}.conv2", f"{name}.bn2", stride, cardinality, relu=True)
        branch = self.convolution(branch, f"{name}.conv3", f"{name}.bn3")
        if f"{name}.downsample.0.weight" in self._arrays:
            features = self.convolution(features, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return self.node("Relu", self.node("Add", branch, features))

    def convolution(  # noqa: PLR0913
        self, features: str, name: str, norm: str, stride: int = 1, groups: int = 1, *, relu: bool = False
    ) -> str:
        """A convolution, its batch normalization and, if there is one, the rectifier."""
        side = self._arrays[f"{name}.weight"].shape[-1]
        (weight,) = self.weights(f"{name}.weight")
        padding = (side // 2,) * 4
        features = self.node(
            "Conv", features, weight, kernel_shape=(side, side), strides=(stride, stride), pads=padding, group=groups
        )
        names = (f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        features = self.node("BatchNormalization", features, *self.weights(*names), epsilon=EPSILON)
        return self.node("Relu", features) if relu else features

    def weights(self, *names: str) -> list[str]:
        """Constants of the state dict, in the network's precision."""
        return [self.constant(name, np.asarray(self._arrays[name], self._dtype)) for name in names]

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """A constant as it is."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """An operation; its result's name."""
        result = output or f"{operator}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [result], name=result, **attributes))
        return result
