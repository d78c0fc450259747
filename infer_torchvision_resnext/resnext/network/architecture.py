"""ResNeXt by layers, cardinality, bottleneck width and stem, with torchvision's parameter names.

Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017: a block sums `cardinality`
parallel paths, each `bottleneck_width` channels wide in the first stage, computed as one grouped convolution.
Cardinality 1 is a ResNet of bottleneck blocks; 1 path of 64 channels is ResNet-50 or ResNet-101 itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from typing_extensions import Self

if TYPE_CHECKING:
    import torch
    from torchvision.models import ResNet

Stem = Literal["imagenet", "cifar"]

STEM_CHANNELS = 64
STEM_KERNELS: dict[Stem, int] = {"imagenet": 7, "cifar": 3}
"""Side of the first convolution's kernel: it tells the stems apart in a state dict."""

EXPANSION = 4
"""A block's output has this many times its stage's planes: torchvision's `Bottleneck.expansion`."""

MAX_BLOCKS = 256
"""In one stage."""
MAX_CHANNELS = 4096
"""Of the first stage's grouped convolutions, cardinality times bottleneck width; each stage doubles them. Beyond it a
single layer has hundreds of millions of weights."""

ALIASES = {"resnext50": "resnext50_32x4d", "resnext101": "resnext101_32x8d"}
"""Short names, as the HUB's existing plugin knows them → torchvision's names."""

LAYERS_BY_DEPTH: dict[int, tuple[int, ...]] = {
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    11: (1, 1, 1),
    20: (2, 2, 2),
    29: (3, 3, 3),
    38: (4, 4, 4),
}
"""Blocks per stage for the depths that the name alone determines. Four stages have the ImageNet stem, three the CIFAR
stem; the paper's is 29."""


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
        stem: what comes before the stages. `imagenet`: a 7 x 7 convolution and pooling, which leave a quarter of the
            resolution; `cifar`: a 3 x 3 convolution, which leaves it as it is, for images of about 32 pixels.

    Raises:
        ArchitectureError: it cannot be built; the message names the rule.
    """

    layers: tuple[int, ...]
    cardinality: int
    bottleneck_width: int
    stem: Stem = "imagenet"

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= 4 or min(self.layers) < 1 or max(self.layers) > MAX_BLOCKS:
            raise ArchitectureError(
                f"layers = {','.join(map(str, self.layers))!r}: expected one to four stages of 1 to {MAX_BLOCKS} blocks"
            )
        paths = f"cardinality = {self.cardinality}, bottleneck_width = {self.bottleneck_width}"
        if self.cardinality < 1 or self.bottleneck_width < 1:
            raise ArchitectureError(f"{paths}: both must be at least 1")
        if self.cardinality * self.bottleneck_width > MAX_CHANNELS:
            raise ArchitectureError(
                f"{paths}: their product is the channels of the first stage's grouped convolutions, at most "
                f"{MAX_CHANNELS}; lower one of them"
            )
        if self.stem not in STEM_KERNELS:
            raise ArchitectureError(f"stem = {self.stem!r}: must be one of {', '.join(STEM_KERNELS)}")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Parse a name: `resnext50_32x4d`, `resnet50` (1x64d), `resnet50_1x40d`, `resnext29_8x64d` (CIFAR form).

        Raises:
            ArchitectureError: the name follows none of these, or what it names cannot be built.
        """
        match = re.fullmatch(r"(resnet|resnext)(\d+)(?:_(\d+)x(\d+)d)?", ALIASES.get(name, name))
        if not match or int(match[2]) not in LAYERS_BY_DEPTH or (match[1] == "resnext" and not match[3]):
            depths = ", ".join(map(str, LAYERS_BY_DEPTH))
            raise ArchitectureError(
                f"{name!r} is not a member of the family: expected resnext<depth>_<cardinality>x<width>d or "
                f"resnet<depth>, made of bottleneck blocks, with depth {depths}"
            )
        depth, cardinality, width = int(match[2]), int(match[3] or 1), int(match[4] or 64)
        if (match[1] == "resnet") != (cardinality == 1):
            right = _name(depth, cardinality, width)
            raise ArchitectureError(f"{name!r}: a ResNet has cardinality 1, a ResNeXt more; write {right}")
        layers = LAYERS_BY_DEPTH[depth]
        return cls(layers, cardinality, width, "imagenet" if len(layers) == 4 else "cifar")

    @classmethod
    def of_state(cls, state: Mapping[str, Shaped]) -> Self:
        """Read the architecture off a state dict's parameter names and shapes. Raises: ArchitectureError."""
        blocks = [0, 0, 0, 0]
        for key in state:
            if match := re.fullmatch(r"layer([1-4])\.(\d+)\.conv3\.weight", key):
                stage = int(match[1]) - 1
                blocks[stage] = max(blocks[stage], int(match[2]) + 1)
        grouped = state.get("layer1.0.conv2.weight")
        if grouped is None or grouped.ndim != 4:
            raise ArchitectureError("these are not weights of a ResNeXt: there is no layer1.0.conv2.weight")
        if not blocks[0]:
            raise ArchitectureError(
                "these are weights of a ResNet of basic blocks, such as ResNet-18: there is no layer1.0.conv3.weight"
            )
        channels, path_width = int(grouped.shape[0]), int(grouped.shape[1])
        return cls(tuple(n for n in blocks if n), channels // path_width, path_width, _stem_of(state))

    @property
    def depth(self) -> int:
        """Layers with weights: three a block, the stem and the classifier."""
        return 3 * sum(self.layers) + 2

    @property
    def name(self) -> str:
        """The family's naming; `from_name` reads it back where `is_named`."""
        return _name(self.depth, self.cardinality, self.bottleneck_width)

    @property
    def is_named(self) -> bool:
        """Whether the name alone says it all: depths of `LAYERS_BY_DEPTH` in their usual form."""
        usual = "imagenet" if len(self.layers) == 4 else "cifar"
        return LAYERS_BY_DEPTH.get(self.depth) == self.layers and self.stem == usual

    def __str__(self) -> str:
        if self.is_named:
            return self.name
        stem = "" if self.stem == "imagenet" else f", {self.stem} stem"
        return f"{self.name} (layers {','.join(map(str, self.layers))}{stem})"

    @property
    def features(self) -> int:
        """Values that an image is classified by."""
        return STEM_CHANNELS * EXPANSION << (len(self.layers) - 1)

    def build(self, num_classes: int) -> "ResNet":
        """The network, torchvision's own `ResNet`, randomly initialized, in training mode.

        Stages that `layers` does not have are left out, and the classifier is sized to what remains. The CIFAR stem
        is the paper's: one 3 x 3 convolution, no pooling.
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
            network.fc = nn.Linear(self.features, num_classes)
        if self.stem == "cifar":
            network.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, padding=1, bias=False)
            # As torchvision starts its convolutions.
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()  # type: ignore[assignment]
        return network

    def load(self, state: "Mapping[str, torch.Tensor]") -> "ResNet":
        """The network with these weights, in evaluation mode, without ever initializing it at random.

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
    """The number of classes that a state dict's classifier has. Raises: ArchitectureError."""
    weight = state.get("fc.weight")
    if weight is None or weight.ndim != 2:
        raise ArchitectureError("these are not weights of a ResNeXt classifier: there is no fc.weight")
    return int(weight.shape[0])


def _name(depth: int, cardinality: int, width: int) -> str:
    if cardinality == 1:
        return f"resnet{depth}" if width == 64 else f"resnet{depth}_1x{width}d"
    return f"resnext{depth}_{cardinality}x{width}d"


def _stem_of(state: Mapping[str, Shaped]) -> Stem:
    """By the first convolution's kernel; one that is missing is for `load` to miss."""
    first = state.get("conv1.weight")
    if first is None:
        return "imagenet"
    for stem, side in STEM_KERNELS.items():
        if first.ndim == 4 and first.shape[-1] == side:
            return stem
    raise ArchitectureError(
        f"conv1.weight has the shape {tuple(first.shape)}: expected a kernel of 7 x 7 (ImageNet) or 3 x 3 (CIFAR)"
    )
