"""Run images through a network once, without learning: the features of a frozen backbone, or the final logits."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..data.loading import Batch
from ..resnext.images.preprocessing import Preprocessing

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Runner:
    """How networks are run.

    Attributes:
        precision: fp32, bf16 or fp16 for the inner layers.
    """

    preprocessing: Preprocessing
    device: torch.device
    precision: str

    def run(
        self, network: nn.Module, batches: DataLoader[Batch], task: str, on_batch: Callable[[], None] = lambda: None
    ) -> Batch:
        """What the network answers to every image, in the loader's order.

        Args:
            network: images → anything N x F. Is put into evaluation mode and onto the device.
            batches: of uint8 crops.
            task: for the progress bar.
            on_batch: called after each batch; what it raises ends it.

        Returns:
            N x F float32 and N class indices, on the CPU.
        """
        network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        outputs, targets = [], []
        autocast = torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")
        with torch.inference_mode(), autocast:
            for crops, indices in tqdm(batches, desc=task, unit="batch"):
                pixels = self.preprocessing.normalize(crops.to(self.device))
                outputs.append(network(pixels).float().cpu())
                targets.append(indices)
                on_batch()
        # Tensors of inference mode cannot be trained on; a copy made outside of it can.
        return torch.cat(outputs).clone(), torch.cat(targets).clone()
