"""A name or a path → architecture, state dict, labels and preprocessing.

torchvision's weights come from torch hub's normal cache and are downloaded into it; everything else is read where it
lies. Only tensors are ever loaded: safetensors, or pickles restricted to tensors (`weights_only=True`).
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .parameters import Parameters
from .resnext.architecture import Architecture, ArchitectureError, class_count
from .resnext.model_folder import CLASSES, CONFIG, WEIGHTS, ModelFolderError, read_config
from .resnext.preprocessing import Preprocessing
from .resnext.weight_files import PUBLISHED_WEIGHTS, WeightFileError, cached_file, read_state

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

logger = logging.getLogger(__name__)

IMAGENET_CLASSES = 1000
WEIGHT_FILES = (".safetensors", ".pth", ".pt")


class WeightsError(ValueError):
    """The weights cannot be used; the message names the file, what was found, what was expected and the remedy."""


@dataclass(frozen=True)
class Model:
    """A trained model, but for the place it runs in.

    Attributes:
        source: what the user asked for: a torchvision name, resolved (`IMAGENET1K_V2`), or a path.
        state: weights in the file's precision, on the CPU.
        labels: in index order.
    """

    source: str
    architecture: Architecture
    state: "State"
    labels: tuple[str, ...]
    preprocessing: Preprocessing


def fingerprint(parameters: Parameters) -> tuple[object, ...]:
    """Changes whenever `load_model` would give another model: with parameters it reads, or the files behind them."""
    source = parameters.weights
    if _is_published(source):
        return (parameters.model_name, source)
    path = Path(source).expanduser()
    files = [path, path / WEIGHTS, path / CONFIG, *_label_files(parameters)]
    return (parameters.model_name, source, parameters.class_file, *(_stamp(file) for file in files))


def load_model(parameters: Parameters) -> Model:
    """Load what `weights`, `model_name` and `class_file` ask for.

    Raises:
        WeightsError: anything that stands in the way, as a sentence for the user.
    """
    try:
        if _is_published(parameters.weights):
            return _load_published(parameters.model_name, parameters.weights)
        path = Path(parameters.weights).expanduser()
        if path.is_dir():
            return _load_folder(path)
        if path.is_file():
            return _load_file(path, parameters)
    except (ArchitectureError, ModelFolderError, WeightFileError) as error:
        raise WeightsError(f"weights = {parameters.weights!r}: {error}") from error
    raise WeightsError(
        f"weights = {parameters.weights!r}: there is no such file or folder (looked for {path.absolute()}); give "
        f"{Parameters.allowed('weights')}"
    )


def _is_published(source: str) -> bool:
    return source == "DEFAULT" or any(source in names for names in PUBLISHED_WEIGHTS.values())


def _load_published(model_name: str, weights_name: str) -> Model:
    from torchvision.models import get_model_weights  # type: ignore[attr-defined]

    architecture = Architecture.from_name(model_name)
    resolved = PUBLISHED_WEIGHTS[architecture.name][-1] if weights_name == "DEFAULT" else weights_name
    weights = get_model_weights(architecture.name)[resolved]
    path = cached_file(weights.url)
    preset = weights.transforms()
    preprocessing = Preprocessing(preset.resize_size[0], preset.crop_size[0], tuple(preset.mean), tuple(preset.std))
    state = read_state(path, architecture)
    labels = tuple(weights.meta["categories"])
    _fits(path, architecture, state, "delete the file, it will be downloaded again")
    _named(path, state, labels, "torchvision's list")
    return Model(resolved, architecture, state, labels, preprocessing)


def _load_folder(folder: Path) -> Model:
    config = read_config(folder)
    architecture = config.network
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"weights = {str(folder)!r}: the model folder has no {WEIGHTS}")
    state = read_state(path, architecture)
    _fits(path, architecture, state, "config.json and the weights are of different models")
    _named(path, state, config.label_names, "config.json")
    return Model(str(folder), architecture, state, config.label_names, config.preprocessing)


def _load_file(path: Path, parameters: Parameters) -> Model:
    if path.suffix not in WEIGHT_FILES:
        raise WeightsError(
            f"weights = {str(path)!r}: a {path.suffix or 'nameless'} file; expected one of {', '.join(WEIGHT_FILES)}"
        )
    architecture = Architecture.from_name(parameters.model_name)
    state = read_state(path, architecture)
    _fits(path, architecture, state, "set model_name to what the file holds")
    label_file = next((file for file in _label_files(parameters) if file.is_file()), None)
    if parameters.class_file and label_file is None:
        raise WeightsError(f"class_file = {parameters.class_file!r}: there is no such file")
    if label_file is not None:
        labels, origin = read_labels(label_file), str(label_file)
    elif class_count(state) == IMAGENET_CLASSES:
        from torchvision.models import ResNeXt50_32X4D_Weights

        labels, origin = tuple(ResNeXt50_32X4D_Weights.DEFAULT.meta["categories"]), "ImageNet's list"
        logger.warning("%s: no class_file, and 1000 classes: taken to be ImageNet's", path)
    else:
        raise WeightsError(
            f"class_file is empty, but {path} tells {class_count(state)} classes apart: set class_file to a text file "
            f"with {class_count(state)} lines, or put it beside the weights as {CLASSES}"
        )
    _named(path, state, labels, origin)
    return Model(str(path), architecture, state, labels, Preprocessing())


def _label_files(parameters: Parameters) -> list[Path]:
    """Where the labels of a bare file may stand; a given class file is the only one."""
    if parameters.class_file:
        return [Path(parameters.class_file).expanduser()]
    return [Path(parameters.weights).expanduser().parent / CLASSES]


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line; Windows line ends, a byte-order mark and empty lines are fine. Raises: WeightsError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"class_file = {str(path)!r} cannot be read as UTF-8 text: {error}") from error
    labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not labels:
        raise WeightsError(f"class_file = {str(path)!r} holds no label")
    return labels


def _fits(path: Path, architecture: Architecture, state: "State", remedy: str) -> None:
    found = Architecture.of_state(state)
    if found != architecture:
        raise WeightsError(f"{path} holds {found}, but {architecture} was asked for: {remedy}")


def _named(path: Path, state: "State", labels: tuple[str, ...], origin: str) -> None:
    if class_count(state) != len(labels):
        raise WeightsError(f"{path} has {class_count(state)} classes, but {origin} has {len(labels)} labels")


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size)
