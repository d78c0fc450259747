"""Files of weights: published ones out of torch hub's cache, and state dicts of the user's own.

Only tensors are ever loaded: safetensors, or pickles restricted to tensors (`weights_only=True`).
"""

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..machine.disk import errors_of_the_disk
from ..machine.entries import has_file
from ..network.architecture import ALIASES, Architecture
from .checkpoints import Checkpoint, CheckpointError, open_checkpoint, prefix_of

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

PUBLISHED_WEIGHTS = {
    "resnext50_32x4d": ("IMAGENET1K_V1", "IMAGENET1K_V2"),
    "resnext101_32x8d": ("IMAGENET1K_V1", "IMAGENET1K_V2"),
    "resnext101_64x4d": ("IMAGENET1K_V1",),
    "resnet50": ("IMAGENET1K_V1", "IMAGENET1K_V2"),
    "resnet101": ("IMAGENET1K_V1", "IMAGENET1K_V2"),
    "resnet152": ("IMAGENET1K_V1", "IMAGENET1K_V2"),
}
"""torchvision's ImageNet weights by the architecture's full name, the best last."""

PUBLISHED = r"DEFAULT|IMAGENET1K_[A-Z0-9_]+"
"""What `weights` looks like where it names torchvision's weights; anything else is a path."""


def published_for(architecture: Architecture) -> tuple[str, ...]:
    """Names of torchvision's weights for an architecture, the best last; empty if it publishes none."""
    return PUBLISHED_WEIGHTS.get(str(architecture), ())


def is_published(weights: str) -> bool:
    """Whether this names torchvision's weights, of whatever architecture."""
    return weights == "DEFAULT" or any(weights in names for names in PUBLISHED_WEIGHTS.values())


def names_without(weights: str) -> str:
    """A regular expression for the model names that torchvision publishes no weights of this name for."""
    having = [name for name, published in PUBLISHED_WEIGHTS.items() if weights in published or weights == "DEFAULT"]
    having += [alias for alias, name in ALIASES.items() if name in having]
    having += [f"{name}_1x64d" for name in having if name.startswith("resnet")]
    return rf"(?!(?:{'|'.join(having)})$).*"


SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")
"""Of files that may hold weights: Lightning writes `.ckpt`, timm `.pth.tar`, Hugging Face `.bin`."""

NOTES = "notes"
"""Key of a converted file's metadata."""


NUMBERS = (".weight", ".bias", ".running_mean", ".running_var")
"""Endings of the names of tensors that are computed with."""


class WeightFileError(ValueError):
    """The file cannot be used; the message names it, what is wrong with it, and the remedy."""


@dataclass(frozen=True)
class TensorShape:
    """A tensor of a file that was not read itself."""

    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)


def hub_folder() -> Path:
    """Where torch hub keeps downloaded weights, found without importing torch."""
    if torch := sys.modules.get("torch"):
        # It can be set at run time, too.
        return Path(torch.hub.get_dir()) / "checkpoints"
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    home = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    return Path(os.path.expandvars(home / "hub" / "checkpoints")).expanduser()


def cached_file(url: str) -> Path:
    """The path of a published file in torch hub's cache; downloaded first, with a progress bar, if it is not there.

    The download is checked against the hash in the file's name and appears in the cache whole or not at all.

    Raises:
        WeightFileError: no connection, or another hash; says which file, where from and where to put it.
    """
    name = url.rsplit("/", 1)[-1]
    folder = hub_folder()
    path = folder / name
    if path.is_file():
        return path
    import torch

    hash_prefix = re.search(r"-([0-9a-f]{8,})\.", name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix[1] if hash_prefix else None, progress=True)
    except (OSError, RuntimeError) as error:
        raise WeightFileError(
            f"{name} is not in torch hub's cache and could not be downloaded ({error}). On a machine with a "
            f"connection, download {url} and put it into {folder}; or set weights to a model of your own."
        ) from error
    return path


def read_state(path: Path, expected: Architecture | None = None) -> "State":
    """The state dict of a file; see `read_checkpoint`. Raises: WeightFileError."""
    return read_checkpoint(path, expected).state


def read_checkpoint(path: Path, expected: Architecture | None = None) -> Checkpoint:
    """Read a state dict, tensors and nothing else, on the CPU, out of the containers that training scripts save it in.

    Args:
        expected: what the file should hold; the message about one that is cut short says how large that is.

    Raises:
        WeightFileError: the file is missing, holds code, is damaged or cut short, or holds no state dict.
    """
    import torch

    if not has_file(path, WeightFileError):
        raise WeightFileError(f"{path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            # Copied out of the mapped file: whoever overwrites it would otherwise end the process.
            content: object = {key: tensor.clone() for key, tensor in load_file(path).items()}
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged files make the readers raise anything from EOFError to their own SafetensorError.
        if code := re.search(r"GLOBAL (\S+)|(TorchScript)", str(error)):
            raise WeightFileError(
                f"{path} holds code ({code[1] or code[2]}), not only tensors, and is refused: it could run anything. "
                "Save the state dict alone: torch.save(model.state_dict(), path)"
            ) from error
        raise _damaged(path, expected, error) from error
    try:
        checkpoint = open_checkpoint(content)
    except CheckpointError as error:
        raise WeightFileError(f"{path} {error}") from error
    for key, value in checkpoint.state.items():
        if value.layout != torch.strided or value.is_quantized:
            kind = "quantized" if value.is_quantized else "sparse"
            raise WeightFileError(f"{path}: {key} is a {kind} tensor, expected dense ones: save the state dict dense")
        _require_floating(path, key, str(value.dtype), value.is_floating_point())
    return checkpoint


def read_classifier(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights C x F and biases C of a `.safetensors` file, without torch but for bf16, which numpy does not know."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            weight, bias = (file.get_tensor(f"fc.{part}") for part in ("weight", "bias"))
    except TypeError:
        with safe_open(path, framework="pt") as file:
            weight, bias = (file.get_tensor(f"fc.{part}").float().numpy() for part in ("weight", "bias"))
    return np.array(weight, np.float32), np.array(bias, np.float32)


def read_shapes(path: Path, expected: Architecture | None = None) -> dict[str, TensorShape]:
    """The names and shapes of a `.safetensors` file, without reading its tensors. Raises: WeightFileError."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            for key, part in slices.items():
                kind = str(part.get_dtype())
                _require_floating(path, key, kind, kind.startswith(("F", "BF")))
            return {key: TensorShape(tuple(part.get_shape())) for key, part in slices.items()}
    except WeightFileError:
        raise
    except Exception as error:
        # See `read_state`.
        raise _damaged(path, expected, error) from error


def is_bare(path: Path, expected: Architecture | None = None) -> bool:
    """Whether a `.safetensors` file has the names of its parameters without a prefix. Raises: WeightFileError."""
    try:
        return not prefix_of(read_shapes(path, expected))
    except CheckpointError as error:
        raise WeightFileError(f"{path} {error}") from error


def read_notes(path: Path) -> tuple[str, ...]:
    """Notes of a `.safetensors` file that `write_checkpoint` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return tuple(json.loads((file.metadata() or {}).get(NOTES, "[]")))


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the weights, and the notes with them, as `.safetensors`. Raises: OSError."""
    from safetensors.torch import save_file

    tensors = {key: tensor.detach().clone().contiguous() for key, tensor in checkpoint.state.items()}
    with errors_of_the_disk(path):
        save_file(tensors, path, metadata={NOTES: json.dumps(checkpoint.notes)} if checkpoint.notes else None)


def _require_floating(path: Path, key: str, kind: str, floating: bool) -> None:
    """Other tensors, such as the batches that a normalization counts, may be integers. Raises: WeightFileError."""
    if not floating and key.endswith(NUMBERS):
        raise WeightFileError(
            f"{path}: {key} is of {kind.removeprefix('torch.')}, expected floating-point numbers: save the network's "
            "weights in fp32, before they are quantized"
        )


def _damaged(path: Path, expected: Architecture | None, error: Exception) -> WeightFileError:
    reason = str(error).split(". ", 1)[0].strip() or type(error).__name__
    size = f"it has {path.stat().st_size:,} bytes"
    if expected:
        size += f", the weights of {expected} take about {_bytes_in_fp32(expected):,} in fp32"
    return WeightFileError(f"{path} is damaged or cut short: {size}. Fetch or save it again ({reason})")


def _bytes_in_fp32(architecture: Architecture) -> int:
    """Size of the weights of a network with as few classes as can be."""
    import torch

    with torch.device("meta"):
        network = architecture.build(1)
    return 4 * sum(tensor.numel() for tensor in network.parameters())
