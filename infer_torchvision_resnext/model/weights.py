"""A name or a path → architecture, state dict, labels and preprocessing.

torchvision's weights come from torch hub's normal cache and are downloaded into it; everything else is read where it
lies. Only tensors are ever loaded: safetensors, or pickles restricted to tensors (`weights_only=True`).

Of a `.safetensors` file only the header is read here; its tensors follow when a runtime asks for them. A `.pth` file
is converted into the cache once, so that later nothing needs torch to read it; what torchvision says of its weights
is remembered there as well.
"""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..parameters.task import Parameters
from ..resnext.folder.golden import REMEDY, GoldenError, read_golden
from ..resnext.folder.model_folder import (
    MAX_CONFIG_BYTES,
    ModelConfig,
    ModelFolderError,
    model_folder_of,
    read_config,
)
from ..resnext.folder.names import CLASSES, CONFIG, GOLDEN, INT8_FILES, WEIGHTS
from ..resnext.folder.weight_files import (
    SUFFIXES,
    WeightFileError,
    cached_file,
    is_bare,
    is_published,
    published_for,
    read_checkpoint,
    read_notes,
    read_shapes,
    write_checkpoint,
)
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.machine.entries import has_file
from ..resnext.network.architecture import Architecture, ArchitectureError, Shaped, class_count
from ..resnext.trust.evidence import EVIDENCE, EvidenceError, read_evidence
from .cache import Cache, key_of, stamp_of
from .model import KnownFile, Model, WeightsError

logger = logging.getLogger(__name__)

IMAGENET_CLASSES = 1000
CONVERSION = 2
"""Changes with what a checkpoint is converted to: entries of the cache that were made otherwise are not used again."""


def fingerprint(parameters: Parameters) -> tuple[object, ...]:
    """Changes whenever `load_model` would give another model: with parameters it reads, or the files behind them."""
    source = parameters.weights
    if is_published(source):
        return (parameters.model_name, source)
    path = model_folder_of(Path(source).expanduser())
    files = [
        path,
        path / WEIGHTS,
        path / CONFIG,
        path / GOLDEN,
        path / EVIDENCE,
        *(path / name for name in INT8_FILES),
        *_label_files(parameters),
    ]
    return (parameters.model_name, source, parameters.class_file, *(_stamp(file) for file in files))


def load_model(parameters: Parameters, cache: Cache) -> Model:
    """Find what `weights`, `model_name` and `class_file` ask for.

    Raises:
        WeightsError: anything that stands in the way, as a sentence for the user.
    """
    try:
        if is_published(parameters.weights):
            return _load_published(parameters.model_name, parameters.weights, cache)
        path = Path(parameters.weights).expanduser()
        if path.is_dir():
            return _load_folder(path, cache)
        if has_file(path, WeightsError):
            return _load_file(path, parameters, cache)
    except (ArchitectureError, ModelFolderError, WeightFileError, GoldenError, EvidenceError) as error:
        raise WeightsError(f"weights = {parameters.weights!r}: {error}") from error
    raise WeightsError(
        f"weights = {parameters.weights!r}: there is no such file or folder (looked for {path.absolute()}); give "
        f"{Parameters.allowed('weights')}"
    )


def _load_published(model_name: str, weights_name: str, cache: Cache) -> Model:
    architecture = Architecture.from_name(model_name)
    published = published_for(architecture)
    if not published:
        raise WeightsError(
            f"weights = {weights_name!r}: torchvision publishes none for {model_name}: set the path of your own"
        )
    resolved = published[-1] if weights_name == "DEFAULT" else weights_name
    facts = _torchvisions_facts(architecture.name, resolved, cache)
    path = cached_file(facts["url"])
    preprocessing = Preprocessing(facts["resize_size"], facts["crop_size"], tuple(facts["mean"]), tuple(facts["std"]))
    file = _as_safetensors(path, architecture, cache)
    shapes = _shapes_of(file, architecture)
    labels = tuple(facts["categories"])
    _fits(path, architecture, shapes, "delete the file, it will be downloaded again")
    _named(path, shapes, labels, "torchvision's list")
    return Model(resolved, architecture, labels, preprocessing, file)


def _torchvisions_facts(architecture: str, weights_name: str, cache: Cache) -> dict[str, Any]:
    """Address, classes and preprocessing of published weights, JSON-ready. torchvision is imported only once."""
    key = key_of(architecture, weights_name, version("torchvision"))
    if isinstance(known := cache.recall("published", key), dict):
        return known
    from torchvision.models import get_model_weights  # type: ignore[attr-defined]

    weights = get_model_weights(architecture)[weights_name]
    preset = weights.transforms()
    facts = {
        "url": weights.url,
        "categories": list(weights.meta["categories"]),
        "resize_size": preset.resize_size[0],
        "crop_size": preset.crop_size[0],
        "mean": list(preset.mean),
        "std": list(preset.std),
    }
    cache.note("published", key, facts)
    return facts


def _as_safetensors(path: Path, architecture: Architecture, cache: Cache) -> KnownFile:
    """The file itself, or its conversion in the cache; one that changed since is converted again."""
    given = KnownFile.of(path, cache)
    if path.suffix == ".safetensors" and given.read(lambda path: is_bare(path, architecture)):
        return given

    def convert(folder: Path) -> None:
        write_checkpoint(folder / WEIGHTS, given.read(lambda path: read_checkpoint(path, architecture)))

    try:
        key = key_of(given.digest, CONVERSION)
        return KnownFile.of(cache.entry("weights", key, convert) / WEIGHTS, cache)
    except OSError as error:
        raise WeightsError(f"{path} cannot be converted into {cache.folder}: {error}; make room there") from error


def _shapes_of(file: KnownFile, architecture: Architecture) -> Mapping[str, Shaped]:
    return file.read(lambda path: read_shapes(path, architecture))


def _load_folder(given: Path, cache: Cache) -> Model:
    folder = model_folder_of(given)
    notes = (
        ()
        if folder == given
        else (f"weights = {str(given)!r} is the folder of a training run: its {folder.name}/ is used",)
    )
    config = read_config(folder)
    found = {
        name: KnownFile.of(folder / name, cache)
        for name in (GOLDEN, *INT8_FILES)
        if has_file(folder / name, WeightsError)
    }
    golden = found[GOLDEN].read(lambda file: read_golden(file.parent)) if GOLDEN in found else None
    evidence = read_evidence(folder)
    if golden and (problems := golden.contradictions(config.facts(evidence))):
        raise WeightsError(f"weights = {str(folder)!r}: {'; '.join(problems)}; put it back as it was, or {REMEDY}")
    path = folder / WEIGHTS
    if not has_file(path, WeightsError):
        raise WeightsError(f"weights = {str(folder)!r}: the model folder has no {WEIGHTS}")
    file = KnownFile.of(path, cache)
    shapes = _shapes_of(file, config.network)
    _fits(path, config.network, shapes, "config.json and the weights are of different models")
    _named(path, shapes, config.label_names, "config.json")
    if evidence:
        evidence.fits(len(config.label_names), config.network.features)
    return Model(
        str(folder),
        config.network,
        config.label_names,
        config.preprocessing,
        file,
        found,
        golden,
        evidence,
        config.resnext.calibration,
        config.costs,
        notes,
        no_evidence="" if evidence else _why_no_evidence(config),
    )


def _why_no_evidence(config: ModelConfig) -> str:
    """The cause, and what helps. Folders written before 2.2 do not say it themselves."""
    ours = config.resnext
    if ours.no_evidence:
        return (
            f"{ours.no_evidence}; complete the folder with python -m train_torchvision_resnext finish RUN, or train "
            "again"
        )
    if ours.calibration:
        return "its training was stopped, or could not write it; train it to the end"
    return "it was not trained by train_torchvision_resnext 2.1 or later; train it with that"


def _load_file(path: Path, parameters: Parameters, cache: Cache) -> Model:
    if path.suffix not in SUFFIXES:
        raise WeightsError(
            f"weights = {str(path)!r}: a {path.suffix or 'nameless'} file; expected one of {', '.join(SUFFIXES)}"
        )
    named = Architecture.from_name(parameters.model_name)
    file = _as_safetensors(path, named, cache)
    shapes = _shapes_of(file, named)
    architecture = Architecture.of_state(shapes)
    if architecture.is_named and architecture.name != named.name:
        _fits(path, named, shapes, "set model_name to what the file holds")
    # Else the weights tell what a name does not say: the stem, and layers that are not the usual ones.
    label_file = next((file for file in _label_files(parameters) if has_file(file, WeightsError)), None)
    if parameters.class_file and label_file is None:
        raise WeightsError(f"class_file = {parameters.class_file!r}: there is no such file")
    if label_file is not None:
        labels, origin = read_labels(label_file), str(label_file)
    elif class_count(shapes) == IMAGENET_CLASSES:
        facts = _torchvisions_facts("resnext50_32x4d", "IMAGENET1K_V1", cache)
        labels, origin = tuple(facts["categories"]), "ImageNet's list"
        logger.warning("%s: no class_file, and 1000 classes: taken to be ImageNet's", path)
    else:
        raise WeightsError(
            f"class_file is empty, but {path} has {class_count(shapes)} classes: set class_file to a text file "
            f"with {class_count(shapes)} lines, or put it beside the weights as {CLASSES}"
        )
    _named(path, shapes, labels, origin)
    notes = () if file.path == path else file.read(read_notes)
    return Model(str(path), architecture, labels, Preprocessing(), file, notes=notes)


def _label_files(parameters: Parameters) -> list[Path]:
    """Where the labels of a bare file may stand; a given class file is the only one."""
    if parameters.class_file:
        return [Path(parameters.class_file).expanduser()]
    return [Path(parameters.weights).expanduser().parent / CLASSES]


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line; Windows line ends, a byte-order mark and empty lines are fine. Raises: WeightsError."""
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise WeightsError(f"class_file = {str(path)!r} is not a list of labels: it has {path.stat().st_size:,} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"class_file = {str(path)!r} cannot be read as UTF-8 text: {error}") from error
    labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not labels:
        raise WeightsError(f"class_file = {str(path)!r} holds no label")
    return labels


def _fits(path: Path, architecture: Architecture, state: Mapping[str, Shaped], remedy: str) -> None:
    found = Architecture.of_state(state)
    if found != architecture:
        raise WeightsError(f"{path} holds {found}, but {architecture} was asked for: {remedy}")


def _named(path: Path, state: Mapping[str, Shaped], labels: tuple[str, ...], origin: str) -> None:
    if class_count(state) != len(labels):
        raise WeightsError(f"{path} has {class_count(state)} classes, but {origin} has {len(labels)} labels")


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        return stamp_of(file)
    except OSError:
        return None
