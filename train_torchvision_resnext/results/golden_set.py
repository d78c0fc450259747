"""The golden set: validation images, and what the trained network says of them in fp32 on the CPU.

By it inference tells that weights and preprocessing are still those of the training, and what a faster way to run the
network changes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..resnext.folder.golden import Golden
from ..resnext.folder.model_folder import ModelConfig
from ..resnext.machine.threads import fixed_threads


def golden_set(network: nn.Module, crops: NDArray[np.uint8], config: ModelConfig) -> Golden:
    """Let the network answer them.

    Args:
        network: the one that is saved, in evaluation mode, on the CPU, in fp32.
        crops: of validation images, N x S x S x 3, N at least 1.
        config: of the network's model folder.

    Raises:
        GoldenError: logits are not finite.
    """
    normalize = config.preprocessing.normalize
    with torch.inference_mode(), fixed_threads():
        # One by one, which is quick on a CPU and needs little memory at any size.
        logits = [network(normalize(torch.from_numpy(crop.copy())[None])) for crop in crops]
    return Golden(crops, torch.cat(logits).numpy(), config.facts())
