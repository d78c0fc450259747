"""Training as a tutorial writes it, to compare with: fp32, NCHW, SGD at a constant rate, RandomResizedCrop."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnext50_32x4d

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def epochs(dataset: Path, input_size: int, count: int, batch_size: int, frozen: bool) -> Iterator[dict[str, float]]:
    """Train on `dataset/train`, validate on `dataset/val`; yields seconds and accuracy after each epoch.

    Args:
        frozen: train the classifier only, on a backbone in evaluation mode.
    """
    torch.manual_seed(0)
    training, validation = _loaders(dataset, input_size, batch_size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = resnext50_32x4d(num_classes=len(training.dataset.classes)).to(device)
    if frozen:
        network.requires_grad_(False)
        network.fc.requires_grad_(True)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.001, momentum=0.9, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(1, count + 1):
        start = time.perf_counter()
        network.train(not frozen)
        for images, targets in training:
            optimizer.zero_grad()
            loss_of(network(images.to(device)), targets.to(device)).backward()
            optimizer.step()
        network.eval()
        right = 0
        with torch.no_grad():
            for images, targets in validation:
                right += int((network(images.to(device)).argmax(1) == targets.to(device)).sum())
        yield {"epoch": epoch, "seconds": time.perf_counter() - start, "top1": right / len(validation.dataset)}


def _loaders(dataset: Path, size: int, batch_size: int) -> tuple[DataLoader, DataLoader]:
    to_input = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    random = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
    central = [transforms.Resize(round(size * 256 / 224)), transforms.CenterCrop(size)]
    training = ImageFolder(str(dataset / "train"), transforms.Compose(random + to_input))
    validation = ImageFolder(str(dataset / "val"), transforms.Compose(central + to_input))
    return DataLoader(training, batch_size, shuffle=True), DataLoader(validation, batch_size)
