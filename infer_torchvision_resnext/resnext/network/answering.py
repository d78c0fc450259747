"""A network that tells what its logits were made of, in the same forward pass and in one array.

Each row holds C logits and, behind them, the F pooled features that they were computed from.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

if TYPE_CHECKING:
    from torchvision.models import ResNet


@dataclass(frozen=True)
class Outputs:
    """What a network says of N images.

    Attributes:
        logits: float32, N x C.
        features: float32, N x F.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32], classes: int) -> Self:
        """Take the rows of an answering network apart."""
        return cls(rows[:, :classes], rows[:, classes:])


def answering(network: "ResNet", apart: bool = False) -> "ResNet":
    """Let a network answer with rows as the module tells; it is changed in place and returned.

    Args:
        apart: logits and features are two outputs, for graphs that another runtime compiles: put together there, logits
            would be rounded to the precision of the features.
    """
    import torch
    from torch import nn

    class Told(nn.Module):
        """The classifier, and what it is given."""

        def __init__(self, classifier: Any) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, features: torch.Tensor) -> Any:
            told = (self.classifier(features), features)
            return told if apart else torch.cat(told, 1)

    network.fc = Told(network.fc)  # type: ignore[assignment]
    return network
