"""A network that tells what its logits were made of, in the same forward pass.

Logits, the F pooled features that they were computed from, and the activations of the last convolutions, F x h x w,
whose means these features are. In one array, a row for each image holds them in this order.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

if TYPE_CHECKING:
    from torch.nn import Sequential
    from torchvision.models import ResNet


OUTPUTS = ("logits", "features", "activations")
"""Of a graph that another runtime runs."""


@dataclass(frozen=True)
class Outputs:
    """What a network says of N images.

    Attributes:
        logits: float32, N x C.
        features: float32, N x F.
        activations: float32, N x F x h x h; None where they were not asked for.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    activations: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, rows: NDArray[np.float32], classes: int, features: int | None = None) -> Self:
        """Take the rows of an answering network, asked about squares, apart.

        Args:
            features: F, where the rows hold activations; None = nothing stands behind the features.
        """
        if features is None:
            return cls(rows[:, :classes], rows[:, classes:])
        logits, pooled, rest = np.split(rows, [classes, classes + features], axis=1)
        side = math.isqrt(rest.shape[1] // features)
        return cls(logits, pooled, rest.reshape(len(rows), features, side, side))


def answering(network: "ResNet", apart: bool = False, activations: bool = False) -> "Sequential":
    """The same layers, which answer as the module tells.

    Args:
        apart: logits, features and activations are three outputs, for graphs that another runtime compiles: put
            together there, logits would be rounded to the precision of the others.
        activations: the rows hold them, too.
    """
    import torch
    from torch import nn

    class Head(nn.Module):
        """What stands behind the last convolutions."""

        def __init__(self, pool: nn.Module, classifier: nn.Module) -> None:
            super().__init__()
            self.pool, self.classifier = pool, classifier

        def forward(self, found: torch.Tensor) -> Any:
            features = self.pool(found).flatten(1)
            told = self.classifier(features), features, found
            return told if apart else torch.cat([each.flatten(1) for each in told[: 3 if activations else 2]], 1)

    # In the order in which torchvision runs them.
    *body, (_, pool), (_, classifier) = network.named_children()
    return nn.Sequential(OrderedDict([*body, ("head", Head(pool, classifier))]))
