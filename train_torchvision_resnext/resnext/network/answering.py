"""A network that gives the features that its logits are made of, in the same forward pass."""

from typing import Any

import torch
from torch import nn
from torchvision.models import ResNet


def answering(network: ResNet, apart: bool = False) -> ResNet:
    """Let a network give logits and pooled features; it is changed in place and returned.

    Each row holds C logits and, behind them, the F features that they were computed from.

    Args:
        apart: logits and features are two outputs, for graphs that another runtime compiles: put together there, logits
            would be rounded to the precision of the features.
    """
    network.fc = _WithFeatures(network.fc, apart)  # type: ignore[assignment]
    return network


class _WithFeatures(nn.Module):
    """The classifier, and what it is given."""

    def __init__(self, classifier: nn.Module, apart: bool) -> None:
        super().__init__()
        self.classifier = classifier
        self._apart = apart

    def forward(self, features: torch.Tensor) -> Any:
        outputs = (self.classifier(features), features)
        return outputs if self._apart else torch.cat(outputs, 1)
