"""The model folder: the contract between training and inference. One folder is one trained model.

`config.json` holds timm's and Hugging Face's keys, so that timm opens the folder as `local-dir:` if it knows such a
network (`timm_opens`), and ours under
`resnext`; `model.safetensors` the weights in fp32 under torchvision's names; `classes.txt` one label a line. A folder
is whole or absent: it is written beside its place and renamed. Nothing in it is ever unpickled.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from ..images.preprocessing import Preprocessing
from ..images.rgb import ValueRange
from ..machine.disk import errors_of_the_disk, whole_folder
from ..machine.durability import make_folder
from ..machine.entries import has_file
from ..machine.printable import shown
from ..network.architecture import Architecture, Stem, class_count
from ..trust.calibration import Calibration
from ..trust.costs import CostError, Costs
from ..trust.evidence import EVIDENCE, Evidence
from .names import CLASSES, CONFIG, WEIGHTS

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 1
RUN_MODEL = "model"
"""Where the model folder lies in the folder of a training run."""

MAX_CONFIG_BYTES = 64 * 2**20
MAX_CLASSES = 1_000_000
MAX_LABEL = 1000
"""Characters."""
PROBLEMS_NAMED = 10

TIMM_NAMES = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "resnet50", "resnet101", "resnet152")
"""Architectures that timm and torchvision know by the same name."""

_Triple = tuple[float, float, float]


class ModelFolderError(ValueError):
    """The folder is not a model folder that this version reads; the message says what is wrong with which file."""


class _PretrainedConfig(BaseModel):
    """timm's description of the preprocessing."""

    model_config = ConfigDict(extra="ignore", defer_build=True)
    input_size: tuple[int, int, int]
    crop_pct: float
    # The only one that is computed; another would be another model.
    interpolation: Literal["bilinear"] = "bilinear"
    mean: _Triple
    std: _Triple


class _ResNeXtConfig(BaseModel):
    """What timm's keys cannot say."""

    model_config = ConfigDict(extra="ignore", defer_build=True)
    format_version: Annotated[int, Field(ge=1)]
    layers: tuple[int, ...]
    cardinality: int
    bottleneck_width: int
    # Older folders have none.
    stem: Stem = "imagenet"
    resize_size: int
    crop_size: int
    # As `ValueRange` reads it; older folders have none.
    value_range: str = "auto"
    # Of the validation images; older folders have none.
    calibration: Calibration | None = None
    # Of wrong answers, rows of true classes, columns of answers, in index order: see `trust/costs.py`.
    costs: tuple[tuple[float, ...], ...] | None = None
    # Why the folder has no evidence; empty where it has, and in older folders.
    no_evidence: str = ""


class ModelConfig(BaseModel):
    """The content of `config.json`. Unknown keys are ignored; a higher `format_version` is refused."""

    model_config = ConfigDict(extra="ignore", defer_build=True)
    architecture: str
    num_classes: Annotated[int, Field(ge=1, le=MAX_CLASSES)]
    label_names: tuple[str, ...]
    model_args: dict[str, Any] = {}
    pretrained_cfg: _PretrainedConfig
    resnext: _ResNeXtConfig

    @model_validator(mode="after")
    def _labels_are_whole(self) -> Self:
        if len(self.label_names) != self.num_classes:
            raise ValueError(f"num_classes is {self.num_classes}, but label_names has {len(self.label_names)} labels")
        long = max(self.label_names, key=len)
        if len(long) > MAX_LABEL:
            raise ValueError(f"label_names: {long[:30]!r}... has {len(long)} characters, at most {MAX_LABEL} may be")
        broken = [label for label in self.label_names if label.splitlines() != [label]]
        if broken:
            raise ValueError(f"label_names: {broken[0]!r} is empty or holds a line break")
        return self

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        labels: tuple[str, ...],
        preprocessing: Preprocessing,
        calibration: Calibration | None = None,
        costs: Costs | None = None,
    ) -> Self:
        """The configuration of a model; `labels` in index order."""
        timm_name, model_args = _timm_model(architecture)
        return cls(
            architecture=timm_name,
            num_classes=len(labels),
            label_names=labels,
            model_args=model_args,
            pretrained_cfg=_PretrainedConfig(
                input_size=(3, preprocessing.crop_size, preprocessing.crop_size),
                crop_pct=preprocessing.crop_size / preprocessing.resize_size,
                mean=preprocessing.mean,
                std=preprocessing.std,
            ),
            resnext=_ResNeXtConfig(
                format_version=FORMAT_VERSION,
                layers=architecture.layers,
                cardinality=architecture.cardinality,
                bottleneck_width=architecture.bottleneck_width,
                stem=architecture.stem,
                resize_size=preprocessing.resize_size,
                crop_size=preprocessing.crop_size,
                value_range=str(preprocessing.value_range),
                calibration=calibration,
                costs=tuple(map(tuple, costs.table.tolist())) if costs else None,
            ),
        )

    def without_evidence(self, reason: str) -> Self:
        """The same for a folder that has no evidence, and why; empty = it has."""
        return self.model_copy(update={"resnext": self.resnext.model_copy(update={"no_evidence": reason})})

    def facts(self, evidence: Evidence | None) -> dict[str, Any]:
        """What changes answers and stands in no weights, JSON-ready; `evidence` is the folder's."""
        calibration = self.resnext.calibration
        return {
            "label_names": list(self.label_names),
            "temperature": calibration.temperature if calibration else None,
            "costs": self.costs.digest if self.costs else None,
            EVIDENCE: evidence.digest if evidence else None,
            **self.preprocessing.to_dict(),
        }

    @property
    def network(self) -> Architecture:
        ours = self.resnext
        return Architecture(ours.layers, ours.cardinality, ours.bottleneck_width, ours.stem)

    @property
    def costs(self) -> Costs | None:
        """What wrong answers cost; None where the folder does not say. Raises: CostError."""
        table = self.resnext.costs
        if table is None:
            return None
        rows = {len(row) for row in table}
        if rows != {self.num_classes} or len(table) != self.num_classes:
            raise CostError(
                [f"resnext.costs has {len(table)} rows of {sorted(rows)}, expected {self.num_classes} of each"]
            )
        return Costs(np.array(table))

    @property
    def preprocessing(self) -> Preprocessing:
        ours, timm = self.resnext, self.pretrained_cfg
        try:
            value_range = ValueRange.parse(ours.value_range)
        except ValueError as error:
            raise ValueError(f"resnext.value_range = {ours.value_range!r}: {error}") from error
        return Preprocessing(ours.resize_size, ours.crop_size, timm.mean, timm.std, value_range)


def model_folder_of(folder: Path) -> Path:
    """The model folder in the folder of a training run, where that is what was given; else the folder itself."""
    within = folder / RUN_MODEL
    return within if not (folder / CONFIG).exists() and (within / CONFIG).is_file() else folder


def read_config(folder: Path) -> ModelConfig:
    """Read and check `config.json`. Raises: ModelFolderError."""
    path = folder / CONFIG
    if not has_file(path, ModelFolderError):
        raise ModelFolderError(f"{folder} is not a model folder: it has no {CONFIG}")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelFolderError(f"{path} has {path.stat().st_size:,} bytes, at most {MAX_CONFIG_BYTES:,} may be")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "resnext" not in content and "architecture" in content and "pretrained_cfg" in content:
            raise _written_by_timm(folder, str(content["architecture"]))
        version = content["resnext"]["format_version"]
    except ModelFolderError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFolderError(f"{path} is not the configuration of a ResNeXt model folder: {error!r}") from error
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFolderError(
            f"{path} has format_version {version}, this plugin reads up to {FORMAT_VERSION}: update the plugin"
        )
    try:
        config = ModelConfig.model_validate(content)
        # All of them refuse what cannot be built.
        _ = config.network, config.preprocessing, config.costs
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()[:PROBLEMS_NAMED]
        )
        raise ModelFolderError(f"{path}: {details}") from error
    except ValueError as error:
        raise ModelFolderError(f"{path}: {error}") from error
    return config


def _written_by_timm(folder: Path, architecture: str) -> ModelFolderError:
    return ModelFolderError(
        f"{folder} was written by timm (architecture {shown(architecture)}), and its {CONFIG} does not say how images "
        f"are prepared here: set weights to {folder / WEIGHTS}, model_name to the architecture, and class_file to a "
        "list of its labels; images are then prepared as for torchvision's weights"
    )


def write_model_folder(
    folder: Path,
    config: ModelConfig,
    state: "Mapping[str, torch.Tensor]",
    complete: Callable[[Path], None] | None = None,
) -> None:
    """Write a model folder in place of `folder`, whole or not at all; an old one is replaced.

    Args:
        state: the network's weights, under torchvision's names; saved in fp32.
        complete: called with the draft of the folder before it takes its place, to write further files into it;
            what it raises leaves no folder.

    Raises:
        ModelFolderError: the weights have another number of classes than the configuration.
        OSError: the folder cannot be written; what stood there before still stands.
    """
    from safetensors.torch import save_file

    if class_count(state) != config.num_classes:
        raise ModelFolderError(f"the weights have {class_count(state)} classes, the labels are {config.num_classes}")
    tensors = {
        key: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for key, tensor in state.items()
    }
    make_folder(folder.parent)
    with whole_folder(folder) as draft:
        with errors_of_the_disk(draft / WEIGHTS):
            save_file(tensors, draft / WEIGHTS, metadata={"format": "pt"})
        (draft / CONFIG).write_text(json.dumps(config.model_dump(), indent=2, ensure_ascii=False), encoding="utf-8")
        (draft / CLASSES).write_text("".join(f"{label}\n" for label in config.label_names), encoding="utf-8")
        if complete:
            complete(draft)
        # safetensors writes for the owner's eyes only.
        for file in draft.glob("*.safetensors"):
            file.chmod((draft / CONFIG).stat().st_mode)


def timm_opens(architecture: Architecture) -> bool:
    """Whether timm has such networks: of four stages, with the ImageNet stem."""
    return len(architecture.layers) == 4 and architecture.stem == "imagenet"


def _timm_model(architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """Name and arguments in timm; our own name where timm has none: fewer stages, CIFAR stem."""
    for name in TIMM_NAMES:
        if architecture == Architecture.from_name(name):
            return name, {}
    if not timm_opens(architecture):
        return architecture.name, {}
    return TIMM_NAMES[0], {
        "layers": list(architecture.layers),
        "cardinality": architecture.cardinality,
        "base_width": architecture.bottleneck_width,
    }
