"""Checkpoints of other tools: the state dict within their containers, its keys without the prefixes of wrappers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..machine.printable import shown

if TYPE_CHECKING:
    import torch

CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
"""In this order: like timm, averaged weights first. Lightning and timm save `state_dict`, PyTorch's tutorial
`model_state_dict`, torchvision's references `model`."""

AVERAGED = ("state_dict_ema", "model_ema")

STEM, FIRST_BLOCK = "conv1.weight", "layer1.0.conv2.weight"
"""Parameters that every member of the family has; what stands before both is a prefix."""

SHOWN = 3
"""Names in a message."""


class CheckpointError(ValueError):
    """There is no state dict, or more than one network; the message begins with a verb."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights out of a file.

    Attributes:
        state: under torchvision's names.
        notes: what the user should know of the choice, a sentence each.
    """

    state: "dict[str, torch.Tensor]"
    notes: tuple[str, ...] = ()


def open_checkpoint(content: object) -> Checkpoint:
    """Take the state dict out of what a file holds. Raises: CheckpointError."""
    import torch

    notes = []
    while isinstance(content, Mapping):
        place = next((key for key in CONTAINERS if isinstance(content.get(key), Mapping) and content[key]), None)
        if place is None:
            break
        if place in AVERAGED:
            notes.append(f"the averaged weights of the checkpoint ({place}) are used")
        content = content[place]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items())
    ):
        raise CheckpointError("holds no state dict: expected parameter names with tensors")
    prefix = prefix_of(content)
    beside = [key for key in content if not key.startswith(prefix)]
    if beside:
        notes.append(
            f"{len(beside)} of {len(content)} tensors are not under {prefix!r} and left out: {_listed(beside)}"
        )
    state = {key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)}
    return Checkpoint(state, tuple(notes))


def prefix_of(keys: Collection[str]) -> str:
    """What wrappers put before the names: `module.`, `model.`, `_orig_mod.`, `net.0.`; empty for bare names.

    Raises:
        CheckpointError: there are several networks.
    """
    candidates = {key.removesuffix(STEM) for key in keys if key.endswith(STEM)}
    prefixes = sorted(prefix for prefix in candidates if prefix + FIRST_BLOCK in keys)
    if "" in prefixes or not prefixes:
        return ""
    if len(prefixes) > 1:
        raise CheckpointError(f"holds {len(prefixes)} networks, under {_listed(prefixes)}: save one of them alone")
    return prefixes[0]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(shown, names[:SHOWN])) + more
