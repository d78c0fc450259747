"""ResNeXt by layers, cardinality and bottleneck width, with torchvision's parameter names.

Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017: a block sums `cardinality`
parallel paths, each `bottleneck_width` channels wide in the first stage, computed as one grouped convolution.
Cardinality 1 and width 64 is a plain ResNet.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from typing_extensions import Self

if TYPE_CHECKING:
    import torch
    from torchvision.models import ResNet

STEM_CHANNELS = 64
EXPANSION = 4
"""A block's output has this many times its stage's planes: torchvision's `Bottleneck.expansion`."""

ALIASES = {"resnext50": "resnext50_32x4d", "resnext101": "resnext101_32x8d"}
"""Short names, as the HUB's existing plugin knows them → torchvision's names."""

LAYERS_BY_DEPTH = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks per stage for the depths that the name alone determines."""


class ArchitectureError(ValueError):
    """The architecture cannot be built, or weights do not fit it."""


class Shaped(Protocol):
    """Whatever has a tensor's shape: a tensor, an array, an entry in a file's header."""

    @property
    def shape(self) -> Sequence[int]: ...

    @property
    def ndim(self) -> int: ...


@dataclass(frozen=True)
class Architecture:
    """A member of the family.

    Attributes:
        layers: blocks in each of one to four stages; every stage but the first halves the resolution.
        cardinality: parallel paths in a block, C of the paper.
        bottleneck_width: channels of one path in the first stage, d of the paper; it doubles with every stage.
    """

    layers: tuple[int, ...]
    cardinality: int
    bottleneck_width: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= 4 or min(self.layers) < 1:
            raise ArchitectureError(f"layers {self.layers}: expected one to four stages of at least one block each")
        if self.cardinality < 1 or self.bottleneck_width < 1:
            raise ArchitectureError(
                f"cardinality {self.cardinality} and bottleneck_width {self.bottleneck_width} must be at least 1"
            )

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Parse torchvision's naming, for example `resnext50_32x4d`, or a short name. Raises: ArchitectureError."""
        match = re.fullmatch(r"resnext(\d+)_(\d+)x(\d+)d", ALIASES.get(name, name))
        if not match or int(match[1]) not in LAYERS_BY_DEPTH:
            depths = ", ".join(map(str, LAYERS_BY_DEPTH))
            raise ArchitectureError(
                f"{name!r} names no ResNeXt: expected resnext<depth>_<cardinality>x<width>d with depth {depths}"
            )
        depth, cardinality, width = map(int, match.groups())
        return cls(LAYERS_BY_DEPTH[depth], cardinality, width)

    @classmethod
    def of_state(cls, state: Mapping[str, Shaped]) -> Self:
        """Read the architecture off a state dict's parameter names and shapes. Raises: ArchitectureError."""
        blocks = [0, 0, 0, 0]
        for key in state:
            if match := re.fullmatch(r"layer([1-4])\.(\d+)\.conv3\.weight", key):
                stage = int(match[1]) - 1
                blocks[stage] = max(blocks[stage], int(match[2]) + 1)
        grouped = state.get("layer1.0.conv2.weight")
        if grouped is None or grouped.ndim != 4 or not blocks[0]:
            raise ArchitectureError("these are no weights of a ResNeXt: there is no layer1.0.conv2.weight")
        channels, path_width = int(grouped.shape[0]), int(grouped.shape[1])
        return cls(tuple(n for n in blocks if n), channels // path_width, path_width)

    @property
    def depth(self) -> int:
        """Layers with weights: three a block, the stem and the classifier."""
        return 3 * sum(self.layers) + 2

    @property
    def name(self) -> str:
        """The family's naming; it determines the layers for the depths of `LAYERS_BY_DEPTH` only."""
        return f"resnext{self.depth}_{self.cardinality}x{self.bottleneck_width}d"

    def __str__(self) -> str:
        if LAYERS_BY_DEPTH.get(self.depth) == self.layers:
            return self.name
        return f"{self.name} (layers {','.join(map(str, self.layers))})"

    def build(self, num_classes: int) -> "ResNet":
        """The network, torchvision's own `ResNet`, randomly initialised, in training mode.

        Stages that `layers` does not have are left out, and the classifier is sized to what remains.
        """
        from torch import nn
        from torchvision.models.resnet import Bottleneck, ResNet

        missing = 4 - len(self.layers)
        network = ResNet(
            Bottleneck,
            [*self.layers, *[1] * missing],
            num_classes=num_classes,
            groups=self.cardinality,
            width_per_group=self.bottleneck_width,
        )
        for stage in range(len(self.layers) + 1, 5):
            setattr(network, f"layer{stage}", nn.Identity())
        if missing:
            network.fc = nn.Linear(STEM_CHANNELS * 2 ** (len(self.layers) - 1) * EXPANSION, num_classes)
        return network

    def load(self, state: "Mapping[str, torch.Tensor]") -> "ResNet":
        """The network with these weights, in evaluation mode, without ever initialising it at random.

        The tensors are taken as they are, not copied. The number of classes is the state's own.

        Raises:
            ArchitectureError: the weights belong to another architecture, or parameters are missing, superfluous or
                of another shape; the message gives both.
        """
        import torch

        found = Architecture.of_state(state)
        if found != self:
            raise ArchitectureError(f"the weights are of {found}, expected {self}")
        with torch.device("meta"):
            network = self.build(class_count(state))
        expected = network.state_dict()
        problems = [f"{key} is missing" for key in expected if key not in state]
        problems += [f"{key} is not part of {self}" for key in state if key not in expected]
        problems += [
            f"{key} has the shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}"
            for key, tensor in expected.items()
            if key in state and state[key].shape != tensor.shape
        ]
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise ArchitectureError(f"the weights do not fit {self}: {'; '.join(problems[:3])}{more}")
        network.load_state_dict(dict(state), assign=True)
        return network.eval()


def class_count(state: Mapping[str, Shaped]) -> int:
    """The number of classes that a state dict's classifier tells apart. Raises: ArchitectureError."""
    weight = state.get("fc.weight")
    if weight is None or weight.ndim != 2:
        raise ArchitectureError("these are no weights of a ResNeXt classifier: there is no fc.weight")
    return int(weight.shape[0])
