"""The three equivalent forms of a block, figure 3 of Xie et al., CVPR 2017, as plainly as they can be written.

All of them take their weights from torchvision's `Bottleneck`, which is the third form, and give gradients back in its
layout, so that the forms can be compared weight by weight. Batch normalization stands behind every convolution, in the
first form behind the sum of the paths; ReLU behind every one but the last, where it follows the shortcut's sum.
"""

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck


def paths_of(block: Bottleneck) -> list[nn.Sequential]:
    """A grouped block's weights, cut into one small network for each path: up to its own last convolution."""
    count = block.conv2.groups
    inputs, outputs = block.conv1.in_channels, block.conv3.out_channels
    width = block.conv2.out_channels // count
    paths = []
    for index in range(count):
        own = slice(index * width, (index + 1) * width)
        path = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, block.conv2.stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
        ).to(block.conv1.weight.dtype)
        with torch.no_grad():
            # Rows of the first two convolutions are the path's outputs; columns of the third are its inputs.
            path[0].weight.copy_(block.conv1.weight[own])
            path[3].weight.copy_(block.conv2.weight[own])
            path[6].weight.copy_(block.conv3.weight[:, own])
            for norm, theirs in ((path[1], block.bn1), (path[4], block.bn2)):
                norm.weight.copy_(theirs.weight[own])
                norm.bias.copy_(theirs.bias[own])
        paths.append(path)
    return paths


class _Form(nn.Module):
    """What the first two forms share: paths, the last normalization, the shortcut."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths_of(block))
        self.norm = _copy_of(block.bn3)
        self.shortcut = nn.Identity()
        if block.downsample is not None:
            self.shortcut = nn.Sequential(
                nn.Conv2d(
                    block.conv1.in_channels, block.conv3.out_channels, 1, block.downsample[0].stride, bias=False
                ).to(block.conv1.weight.dtype),
                _copy_of(block.downsample[1]),
            )
            self.shortcut[0].weight.data.copy_(block.downsample[0].weight)

    def together(self, features: torch.Tensor) -> torch.Tensor:
        """What all paths make of the features, before the last normalization."""
        raise NotImplementedError

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.norm(self.together(features)) + self.shortcut(features))

    def gradients(self) -> dict[str, torch.Tensor]:
        """In the layout, and under the names, of the grouped form."""
        found = {
            "conv1.weight": torch.cat([path[0].weight.grad for path in self.paths]),
            "bn1.weight": torch.cat([path[1].weight.grad for path in self.paths]),
            "bn1.bias": torch.cat([path[1].bias.grad for path in self.paths]),
            "conv2.weight": torch.cat([path[3].weight.grad for path in self.paths]),
            "bn2.weight": torch.cat([path[4].weight.grad for path in self.paths]),
            "bn2.bias": torch.cat([path[4].bias.grad for path in self.paths]),
            "conv3.weight": torch.cat([path[6].weight.grad for path in self.paths], dim=1),
            "bn3.weight": self.norm.weight.grad,
            "bn3.bias": self.norm.bias.grad,
        }
        if isinstance(self.shortcut, nn.Sequential):
            found["downsample.0.weight"] = self.shortcut[0].weight.grad
            found["downsample.1.weight"] = self.shortcut[1].weight.grad
            found["downsample.1.bias"] = self.shortcut[1].bias.grad
        return found


class SeparatePaths(_Form):
    """Figure 3 (a): every path is a network of its own, and their outputs are summed."""

    def together(self, features: torch.Tensor) -> torch.Tensor:
        return torch.stack([path(features) for path in self.paths]).sum(0)


class EarlyConcatenation(_Form):
    """Figure 3 (b): the paths end one layer earlier, side by side, and one wide convolution sums them."""

    def together(self, features: torch.Tensor) -> torch.Tensor:
        narrow = torch.cat([path[:6](features) for path in self.paths], dim=1)
        return functional.conv2d(narrow, torch.cat([path[6].weight for path in self.paths], dim=1))


def _copy_of(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    copy = nn.BatchNorm2d(norm.num_features).to(norm.weight.dtype)
    copy.load_state_dict(norm.state_dict())
    return copy
