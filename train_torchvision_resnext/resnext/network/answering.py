"""A network that gives what its logits are made of, in the same forward pass."""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torchvision.models import ResNet


def answering(network: ResNet, apart: bool = False, activations: bool = False) -> nn.Sequential:
    """The same layers, which give logits, pooled features and activations.

    Each row holds C logits, the F features that they were computed from and, where they are asked for, the activations
    of the last convolutions, F x h x w, whose means these features are.

    Args:
        apart: logits, features and activations are three outputs, for graphs that another runtime compiles: put
            together there, logits would be rounded to the precision of the others.
        activations: the rows hold them, too.
    """
    # In the order in which torchvision runs them.
    *body, (_, pool), (_, classifier) = network.named_children()
    return nn.Sequential(OrderedDict([*body, ("head", _Head(pool, classifier, apart, activations))]))


class _Head(nn.Module):
    """What stands behind the last convolutions."""

    def __init__(self, pool: nn.Module, classifier: nn.Module, apart: bool, activations: bool) -> None:
        super().__init__()
        self.pool, self.classifier = pool, classifier
        self._apart, self._count = apart, 3 if activations else 2

    def forward(self, activations: torch.Tensor) -> Any:
        features = self.pool(activations).flatten(1)
        outputs = self.classifier(features), features, activations
        return outputs if self._apart else torch.cat([each.flatten(1) for each in outputs[: self._count]], 1)
