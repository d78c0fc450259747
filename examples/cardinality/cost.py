"""What an architecture costs, from its shapes alone: parameters, multiply-adds, activations, memory.

One multiply-add counts once, as in the paper and in torchvision's published figures ("4.23 GFLOPS" of
`resnext50_32x4d` are multiply-adds); tools that count multiplication and addition apart say twice as much. Only
convolutions and the classifier are counted, which are all but a hundredth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from train_torchvision_resnext.resnext.network.architecture import EXPANSION, STEM_CHANNELS, STEM_KERNELS, Architecture

CARDINALITIES = (1, 2, 4, 8, 16, 32)
BYTES = 4
"""Of a value in fp32."""


@dataclass(frozen=True)
class Cost:
    """What an architecture costs at one size of the input.

    Attributes:
        parameters: trained numbers: weights, biases, scales and shifts of batch normalization.
        multiply_adds: of one image's forward pass.
        activations: values that the convolutions and the classifier put out for one image.
        weight_bytes: the weights in fp32, with the running statistics of batch normalization.
        saved_bytes: what torch's forward pass keeps for the backward pass, for one image, in fp32: the inputs of its
            layers. Training with momentum takes about three times `weight_bytes` and this for each image of a batch.
    """

    parameters: int
    multiply_adds: int
    activations: int
    weight_bytes: int
    saved_bytes: int

    @property
    def gmacs(self) -> float:
        """Billions of multiply-adds."""
        return self.multiply_adds / 1e9


@dataclass(frozen=True)
class Convolution:
    """One convolution and the batch normalization behind it.

    Attributes:
        side: of its output, in pixels.
        shortcut: whether it stands in a block's shortcut.
    """

    inputs: int
    outputs: int
    kernel: int
    groups: int
    side: int
    shortcut: bool = False

    @property
    def weights(self) -> int:
        return self.outputs * (self.inputs // self.groups) * self.kernel**2

    @property
    def values(self) -> int:
        return self.outputs * self.side**2


def cost(architecture: Architecture, input_size: int = 224, num_classes: int = 1000) -> Cost:
    """What one image costs.

    Args:
        input_size: side of the square that the network sees, in pixels.
    """
    layers = list(convolutions(architecture, input_size))
    features = architecture.features
    head = features * num_classes
    weights = sum(layer.weights for layer in layers)
    normalized = sum(layer.outputs for layer in layers)
    values = sum(layer.values for layer in layers)
    return Cost(
        parameters=weights + 2 * normalized + head + num_classes,
        multiply_adds=sum(layer.weights * layer.side**2 for layer in layers) + head,
        activations=values + num_classes,
        weight_bytes=BYTES * (weights + 4 * normalized + head + num_classes),
        saved_bytes=BYTES * _saved_values(architecture, layers, input_size, features),
    )


def convolutions(architecture: Architecture, input_size: int) -> Iterator[Convolution]:
    """All convolutions, in the order of the forward pass; of a block, the shortcut's comes last."""
    large = architecture.stem == "imagenet"
    side = _halved(input_size) if large else input_size
    yield Convolution(3, STEM_CHANNELS, STEM_KERNELS[architecture.stem], 1, side)
    side = _halved(side) if large else side
    inputs = STEM_CHANNELS
    for stage, blocks in enumerate(architecture.layers):
        width = architecture.cardinality * architecture.bottleneck_width * 2**stage
        outputs = STEM_CHANNELS * 2**stage * EXPANSION
        for block in range(blocks):
            before = side
            if block == 0 and stage > 0:
                side = _halved(side)
            yield Convolution(inputs, width, 1, 1, before)
            yield Convolution(width, width, 3, architecture.cardinality, side)
            yield Convolution(width, outputs, 1, 1, side)
            if block == 0:
                yield Convolution(inputs, outputs, 1, 1, side, shortcut=True)
            inputs = outputs


def at_constant_cost(
    base: Architecture, cardinalities: Sequence[int] = CARDINALITIES, input_size: int = 224
) -> tuple[Architecture, ...]:
    """For each cardinality the width whose multiply-adds are nearest to those of `base`.

    The paper's table 2 does so for one block of the first stage; here the whole network counts. A narrow
    base leaves little choice at a high cardinality, where one channel more is a large step: compare `cost`.
    """
    wanted = cost(base, input_size).multiply_adds

    def distance(candidate: Architecture) -> int:
        return abs(cost(candidate, input_size).multiply_adds - wanted)

    def nearest(cardinality: int) -> Architecture:
        best = replace(base, cardinality=cardinality, bottleneck_width=1)
        while distance(wider := replace(best, bottleneck_width=best.bottleneck_width + 1)) < distance(best):
            best = wider
        return best

    return tuple(nearest(cardinality) for cardinality in cardinalities)


def _halved(side: int) -> int:
    """What a padded layer with stride 2 makes of a side."""
    return (side + 1) // 2


def _saved_values(architecture: Architecture, layers: Sequence[Convolution], input_size: int, features: int) -> int:
    """Values that torch keeps for the backward pass, in units of fp32."""
    # A convolution's output is the input of its normalization; what ReLU makes of it, or of the block's sum, is the
    # input of the next layer. The shortcut's is only summed.
    kept = sum(layer.values * (1 if layer.shortcut else 2) for layer in layers)
    if architecture.stem == "imagenet":
        # Pooling keeps its output, the next layer's input, and where it came from, in 64-bit integers.
        kept += 3 * STEM_CHANNELS * _halved(layers[0].side) ** 2
    return kept + 3 * input_size**2 + features
