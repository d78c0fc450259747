"""Stand-ins for published weights, where these cannot be downloaded: right names and shapes, random content."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import WeightsEnum, get_model


def decided_network(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network random weights whose answers are not all the same, so that a comparison can fail."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("running_mean"):
                tensor.normal_(0, 0.1, generator=generator)
        network.eval()
        noise = torch.randn(4, 3, 64, 64, generator=generator)
        # Logits that vary by about two: a best answer, but no saturated one that would hide differences.
        network.fc.weight.normal_(0, 1, generator=generator)
        network.fc.weight.mul_(2 / network(noise).std(dim=1).mean())
    return network


def file_of(weights: WeightsEnum, hub_folder: Path) -> Path:
    """Where torch hub keeps these weights."""
    return hub_folder / "checkpoints" / weights.url.rsplit("/", 1)[-1]


def write_stand_in(name: str, weights: WeightsEnum, hub_folder: Path, seed: int = 0) -> Path:
    """Write random weights where torch hub would keep the published ones of torchvision's model `name`."""
    path = file_of(weights, hub_folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.save(decided_network(get_model(name), seed).state_dict(), path)
    return path
