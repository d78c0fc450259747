"""What a run needs to go on, and its best network so far: tensors and plain values, written whole or not at all."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from ..resnext.machine.disk import whole_file
from ..run.run_folder import RunFolderError
from .recipe import RunningAverage

LOGITS = "validation_logits"
STATE = "network."


@dataclass(frozen=True)
class Learner:
    """All that changes from step to step.

    Attributes:
        average: of the network's weights; None where none is kept.
        scaler: of the loss in fp16; does nothing in other formats.
    """

    network: nn.Module
    average: RunningAverage | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    @property
    def answering(self) -> nn.Module:
        """The network that is evaluated and kept: the running average, where there is one."""
        return self.network if self.average is None else self.average.module

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict() if self.average else {},
            "averaged": self.average.count if self.average else 0,
            "optimizer": self.optimizer.state_dict()["state"],
            "scaler": self.scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, from whichever device."""
        self.network.load_state_dict(state["network"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
            self.average.count = state["averaged"]
        # Its groups are set up for the device of now.
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state["optimizer"]})
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])


def save_state(path: Path, learner: Learner, history: Sequence[Mapping[str, float]]) -> None:
    """Write the state after a whole epoch. Raises: OSError."""
    # By way of memory: an error of Python's own writing says what is wrong with the disk, one of torch's does not.
    content = io.BytesIO()
    torch.save({**learner.state(), "history": list(history)}, content)
    with whole_file(path) as draft:
        draft.write_bytes(content.getbuffer())


def read_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU; `history` alone, and empty, where there is no such file.

    Raises:
        RunFolderError: it holds anything but tensors and plain values, or is damaged.
    """
    if not path.is_file():
        return {"history": []}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {**state, "history": list(state["history"])}
    except Exception as error:
        # Damaged files make the reader raise anything.
        reason = str(error).partition("\n")[0]
        raise RunFolderError(f"resume: {path} holds code or is damaged, and is not loaded: {reason}") from error


def save_best(path: Path, network: nn.Module, logits: NDArray[np.float32]) -> None:
    """Write a network and its logits on the validation images. Raises: OSError."""
    tensors = {STATE + key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with whole_file(path) as draft:
        save_file({**tensors, LOGITS: torch.from_numpy(logits)}, draft)


def load_best(path: Path) -> tuple[dict[str, torch.Tensor], NDArray[np.float32]]:
    """The best network's state dict and its logits on the validation images. Raises: RunFolderError."""
    try:
        tensors = load_file(path)
        logits = tensors.pop(LOGITS)
    except Exception as error:
        # Damaged files make the reader raise errors of many kinds.
        raise RunFolderError(f"resume: {path} is damaged ({error}); start over, with resume empty") from error
    return {key.removeprefix(STATE): tensor for key, tensor in tensors.items()}, np.asarray(logits.numpy())
