"""What training starts from: published weights, a model of the user's own, or random ones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torchvision.models import ResNet, get_model_weights  # type: ignore[attr-defined]

from ..parameters.network import NO_WEIGHTS
from ..parameters.task import Parameters
from ..resnext.folder.checkpoints import Checkpoint
from ..resnext.folder.model_folder import ModelFolderError, model_folder_of, read_config
from ..resnext.folder.names import WEIGHTS
from ..resnext.folder.weight_files import (
    WeightFileError,
    cached_file,
    published_for,
    read_checkpoint,
    read_state,
)
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.machine.printable import shown
from ..resnext.network.architecture import Architecture, ArchitectureError, class_count
from .plan import Start


class StartError(ValueError):
    """The weights to start from cannot be used; the message says why and what to do."""


def start_network(parameters: Parameters, labels: Sequence[str]) -> Start:
    """The network that training starts from, its classifier sized to the labels.

    A model folder's classifier is kept for the labels that it knows, by name; other classifiers start at random.

    Raises:
        StartError: the weights cannot be used.
    """
    architecture = parameters.architecture
    if parameters.start == NO_WEIGHTS:
        network = _random(architecture, len(labels), parameters.seed)
        return Start(
            architecture, network, _prepared(Preprocessing(), parameters), ("training starts from random weights",)
        )
    notes: tuple[str, ...] = ()
    try:
        if parameters.starts_published:
            state, known, preprocessing = _published(architecture, parameters.start)
        else:
            checkpoint, known, preprocessing = _own(Path(parameters.start).expanduser())
            state, notes = checkpoint.state, checkpoint.notes
            if not parameters.asks_for_a_network:
                architecture = Architecture.of_state(state)
        # Checks the weights, all of them, against the architecture.
        trained = architecture.load(state)
    except (ArchitectureError, ModelFolderError, WeightFileError) as error:
        raise StartError(f"weights = {parameters.weights!r}: {error}") from error
    network = _random(architecture, len(labels), parameters.seed)
    kept = _take_over(network, trained, labels, known)
    source = parameters.start if parameters.starts_published else f"{shown(parameters.start)}, {architecture}"
    note = f"training starts from {source}, which knows {class_count(state)} classes"
    note += f"; the classifier is kept for {kept} of {len(labels)}" if kept else "; the classifier starts at random"
    return Start(architecture, network, _prepared(preprocessing, parameters), (note, *notes))


def _prepared(preprocessing: Preprocessing, parameters: Parameters) -> Preprocessing:
    """As the start has it, at the size and with the values that were asked for."""
    scaled = preprocessing.scaled_to(parameters.input_size)
    return scaled if parameters.value_range == "auto" else replace(scaled, value_range=parameters.range_of_values)


def _random(architecture: Architecture, classes: int, seed: int) -> ResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build(classes)


def _published(
    architecture: Architecture, wanted: str
) -> tuple[dict[str, torch.Tensor], tuple[str, ...], Preprocessing]:
    name = published_for(architecture)[-1] if wanted == "DEFAULT" else wanted
    weights = get_model_weights(architecture.name)[name]
    # The classes are ImageNet's thousand: none of them is taken over, however it is called.
    return read_state(cached_file(weights.url)), (), Preprocessing()


def _own(path: Path) -> tuple[Checkpoint, tuple[str, ...], Preprocessing]:
    if path.is_dir():
        folder = model_folder_of(path)
        config = read_config(folder)
        return read_checkpoint(folder / WEIGHTS), config.label_names, config.preprocessing
    return read_checkpoint(path), (), Preprocessing()


def _take_over(network: ResNet, trained: ResNet, labels: Sequence[str], known: Sequence[str]) -> int:
    """Copy the backbone, and of the classifier the rows of known labels. Returns their number."""
    state = {key: value for key, value in trained.state_dict().items() if not key.startswith("fc.")}
    network.load_state_dict(state, strict=False)
    places = {label: index for index, label in enumerate(known)}
    kept = [(row, places[label]) for row, label in enumerate(labels) if label in places]
    with torch.no_grad():
        for row, place in kept:
            network.fc.weight[row] = trained.fc.weight[place]
            network.fc.bias[row] = trained.fc.bias[place]
    return len(kept)
