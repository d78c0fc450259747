"""Train the tiny ResNeXt in `examples/models/digits` on the training part of the handwritten digits.

Run with `python -m examples.make_digits_model [folder]`; it takes about a minute on two cores.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from examples.digits import LABELS, Digits, training_and_held_out
from infer_torchvision_resnext.resnext.architecture import Architecture
from infer_torchvision_resnext.resnext.images import to_rgb
from infer_torchvision_resnext.resnext.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.preprocessing import Preprocessing

FOLDER = Path(__file__).parent / "models" / "digits"
ARCHITECTURE = Architecture(layers=(1, 1), cardinality=8, bottleneck_width=4)
PREPROCESSING = Preprocessing(resize_size=32, crop_size=32)
EPOCHS, BATCH_SIZE, PEAK_LEARNING_RATE = 20, 64, 3e-3


def tensors(digits: Digits) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised N x 3 x 32 x 32 float32, and N targets."""
    crops = np.stack([PREPROCESSING.crop(to_rgb(image)) for image in digits.images])
    return PREPROCESSING.normalise(torch.from_numpy(crops)), torch.from_numpy(digits.digits)


def shifted(batch: torch.Tensor) -> torch.Tensor:
    """Each batch moved by up to three pixels, so that the network does not learn positions by heart."""
    rows, columns = torch.randint(-3, 4, (2,)).tolist()
    return batch.roll((rows, columns), dims=(2, 3))


def train() -> torch.nn.Module:
    torch.manual_seed(0)
    pixels, targets = tensors(training_and_held_out()[0])
    network = ARCHITECTURE.build(len(LABELS))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = EPOCHS * -(-len(pixels) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        for chosen in torch.randperm(len(pixels)).split(BATCH_SIZE):
            loss = torch.nn.functional.cross_entropy(network(shifted(pixels[chosen])), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {loss.item():.3f}")
    return network.eval()


def main(folder: Path) -> None:
    network = train()
    with torch.inference_mode():
        pixels, targets = tensors(training_and_held_out()[1])
        accuracy = (network(pixels).argmax(1) == targets).float().mean().item()
    write_model_folder(folder, ModelConfig.of(ARCHITECTURE, LABELS, PREPROCESSING), network.state_dict())
    print(f"{ARCHITECTURE}: {accuracy:.1%} of {len(targets)} held-out digits right; saved in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
