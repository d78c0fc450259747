"""Any model folder on any folder of labeled images, with the report of a training."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from .data.folders import DatasetError
from .data.labeled_images import LabeledImages, find_labeled_images
from .data.loading import worker_count
from .data.samples import ReadError
from .fitting.process_settings import cpu_settings
from .resnext.folder.golden import GoldenError
from .resnext.folder.model_folder import ModelFolderError
from .resnext.folder.weight_files import WeightFileError
from .resnext.machine.devices import DeviceError, resolve_device
from .resnext.machine.disk import whole_folder
from .resnext.machine.threads import core_count
from .resnext.network.architecture import ArchitectureError
from .resnext.trust.evidence import EvidenceError
from .results.answers import Answers
from .results.page import percent
from .results.report import PAGE, Section, write_report
from .trained_model import TrainedModel

FORMAT_VERSION = 1
METRICS, TABLE = "metrics.json", "answers.csv"

UNUSABLE = (
    ArchitectureError,
    DatasetError,
    DeviceError,
    EvidenceError,
    GoldenError,
    ModelFolderError,
    OSError,
    ReadError,
    WeightFileError,
)
"""What stands in the way of an evaluation; the message says what to do."""


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A model and its answers to labeled images."""

    model: TrainedModel
    images: LabeledImages
    answers: Answers

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.images.notes, *self.answers.evaluation.notes)


def evaluate(model_folder: Path, folder: Path, device: str = "auto", part: str = "") -> EvaluatedModel:
    """Let a model answer to the images of a folder.

    Args:
        model_folder: or the folder of a run.
        folder: of class folders, or a dataset with parts.
        device: as the parameter.
        part: of a dataset with parts: train, val or test; empty = test, else val.

    Raises:
        UNUSABLE: one of these errors.
    """
    model = TrainedModel.from_folder(model_folder)
    images = find_labeled_images(folder, model.labels, model.config.preprocessing.value_range, part)
    return EvaluatedModel(model, images, judge(model, images, resolve_device(device)))


def judge(model: TrainedModel, images: LabeledImages, device: torch.device) -> Answers:
    """Raises: ReadError, an image cannot be read any more."""
    with cpu_settings(device, 0):
        return model.judge(images.samples, device, worker_count(-1, device, core_count()))


def write_evaluation(output: Path, evaluated: EvaluatedModel) -> Path:
    """Write report, table of answers and figures into a new folder, whole or not at all. Returns: the page.

    Raises:
        OSError: the folder exists, or cannot be written.
    """
    answers, model = evaluated.answers, evaluated.model
    origin = {"model": str(model.folder), "images": str(evaluated.images.root)}
    figures = {
        "format_version": FORMAT_VERSION,
        **origin,
        "evaluation": answers.evaluation.to_dict(),
        "missing": list(evaluated.images.missing),
        "notes": list(evaluated.notes),
    }
    if output.exists():
        raise FileExistsError(f"{output} exists: set --output to a new folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(output, replace=False) as draft:
        write_report(draft, answers, [], [Section("Evaluated", settings=origin), Section("Notes", evaluated.notes)])
        answers.write_csv(draft / TABLE, evaluated.images.root)
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
        (draft / METRICS).write_text(text, encoding="utf-8")
    return output / PAGE


def describe(evaluated: EvaluatedModel) -> str:
    """The main figures in one sentence."""
    evaluation = evaluated.answers.evaluation
    low, high = evaluation.top1_interval
    noun = "image" if evaluation.count == 1 else "images"
    return (
        f"top-1 {percent(evaluation.top1)} of {evaluation.count:,} {noun}, 95 % interval {percent(low)} to "
        f"{percent(high)}; macro F1 {percent(evaluation.macro_f1)}, loss {evaluation.loss:.3f}"
    )
