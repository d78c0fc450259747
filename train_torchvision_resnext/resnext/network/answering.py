"""A network that tells what its logits were made of, in the same forward pass and in one array.

Each row holds C logits, and behind them what they were computed from: the F pooled features, or, where maps are asked
for, the last convolutions' output of F x h x w before it was pooled.
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
        activation: float32, N x F x places; the mean over the places are the features. One place: it is pooled.
    """

    logits: NDArray[np.float32]
    activation: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32], classes: int, features: int) -> Self:
        """Take the rows of an answering network apart."""
        return cls(rows[:, :classes], rows[:, classes:].reshape(len(rows), features, -1))

    @property
    def features(self) -> NDArray[np.float32]:
        """float32, N x F."""
        return self.activation.mean(axis=2) if self.activation.shape[2] > 1 else self.activation[:, :, 0]

    def activation_of(self, image: int) -> NDArray[np.float32]:
        """float32, F x side x side, of one image."""
        side = round(self.activation.shape[2] ** 0.5)
        return self.activation[image].reshape(-1, side, side)


def answering(network: "ResNet", mapped: bool = False) -> "ResNet":
    """Let a network answer with rows as the module tells; it is changed in place and returned.

    Args:
        mapped: the last convolutions' output is told, not its mean.
    """
    import torch
    from torch import nn

    class Told(nn.Module):
        """The classifier, which is asked for what it is given, too."""

        def __init__(self, classifier: Any) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            pooled = given.unflatten(1, (self.classifier.in_features, -1)).mean(2) if mapped else given
            return torch.cat([self.classifier(pooled), given], 1)

    if mapped:
        network.avgpool = nn.Identity()  # type: ignore[assignment]
    network.fc = Told(network.fc)  # type: ignore[assignment]
    return network
