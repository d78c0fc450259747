"""The golden set: validation images, and what the trained network says of them in fp32 on the CPU.

By it inference tells that weights and preprocessing are still those of the training, and what a faster way to run the
network changes.
"""

from collections.abc import Sequence

import torch
from torch import nn

from ..data.dataset import Sample
from ..data.picks import crops_of, pick
from ..resnext.folder.golden import Golden
from ..resnext.folder.model_folder import ModelConfig
from ..resnext.machine.threads import fixed_threads
from ..resnext.trust.evidence import Evidence

MOST = 32
"""Images; fewer where there are fewer. At 224 pixels they take 5 MB."""


def golden_set(
    network: nn.Module, samples: Sequence[Sample], config: ModelConfig, evidence: Evidence | None, seed: int
) -> Golden:
    """Run a few of the samples.

    Args:
        network: the one that is saved, in evaluation mode, on the CPU, in fp32.
        samples: of the validation part, at least one.
        config, evidence: of the network's model folder; None where it has no evidence.
        seed: of the choice among them.

    Raises:
        ReadError: an image cannot be read any more.
        GoldenError: logits are not finite.
    """
    preprocessing = config.preprocessing
    crops = crops_of(pick(samples, MOST, seed), preprocessing)
    with torch.inference_mode(), fixed_threads():
        # One by one, which is quick on a CPU and needs little memory at any size.
        logits = [network(preprocessing.normalize(torch.from_numpy(crop.copy())[None])) for crop in crops]
    return Golden(crops, torch.cat(logits).numpy(), config.facts(evidence))
