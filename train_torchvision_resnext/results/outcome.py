"""The best network → the model folder with its figures, report and exports."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models import ResNet

from ..data.samples import pick
from ..plan import Plan
from ..progress import Listener, Row
from ..resnext.folder.golden import GOLDEN, write_golden
from ..resnext.folder.model_folder import ModelConfig, write_model_folder
from ..resnext.folder.whole import errors_of_the_disk
from ..resnext.network.architecture import Architecture
from ..resnext.network.quantization import Quantized
from ..resnext.trust.evidence import EVIDENCE, write_evidence
from .best_epoch import best_epoch
from .export import export_onnx
from .golden_set import golden_set
from .judging import Judged
from .quantizing import LATER, quantize_trained
from .report import write_report
from .sections import Section, compared, judged_once
from .trust import Trust, learn

logger = logging.getLogger(__name__)

METRICS = "metrics.json"
METRICS_VERSION = 1
REPORT = "report"
ANSWERS, TEST_ANSWERS = "validation.csv", "test.csv"
ONNX = "model.onnx"

GOLDEN_IMAGES, COMPARED_IMAGES = 32, 8
"""Validation images in the golden set, at 224 pixels 5 MB, and those on which an exported network is compared."""

Step = tuple[str, Callable[[Path], object]]
"""The name of a file or folder within the model folder, and what writes it there."""


def write_outcome(
    folder: Path, plan: Plan, judged: Judged, history: Sequence[Row], listener: Listener
) -> tuple[str, ...]:
    """Write the model folder, whole or not at all.

    Nothing but weights, configuration and figures can cost the model. Golden set, exports and report are left out where
    they fail, and a note says why.

    Args:
        history: a row for each epoch of the training.
        listener: is told how quantizing goes, and may stop it.

    Returns:
        What the user should know, such as what is left out and why.

    Raises:
        OSError: the folder cannot be written.
    """
    trust, notes = _learn(plan, judged)
    calibration = trust.calibration if trust else None
    if calibration:
        judged = judged.at(calibration.temperature)
    config = ModelConfig.of(
        plan.start.architecture, plan.dataset.labels, plan.start.preprocessing, calibration, plan.costs
    )

    def complete(draft: Path) -> None:
        for name, write in _steps(plan, judged, config, trust):
            notes.extend(_attempt(draft / name, write))
        int8, told = _quantize(draft, plan, trust, listener, judged.hurried)
        notes.extend(told)

        def report(place: Path) -> None:
            sections = list(_sections(plan, notes, judged, int8, trust))
            write_report(place, judged.validation, history, sections, plan.parameters.best_epoch_by)
            judged.validation.write_csv(place / ANSWERS, plan.dataset.root)
            if judged.test:
                judged.test.write_csv(place / TEST_ANSWERS, plan.dataset.root)

        notes.extend(_attempt(draft / REPORT, report))
        figures = {
            **_figures(plan, judged, history),
            "int8": int8.to_dict() if int8 else None,
            "notes": [*plan.notes, *notes],
            "trust": trust.to_dict() if trust else None,
        }
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
        (draft / METRICS).write_text(text, encoding="utf-8")

    write_model_folder(folder, config, judged.network.state_dict(), complete)
    return tuple(notes)


def _learn(plan: Plan, judged: Judged) -> tuple[Trust | None, list[str]]:
    """What to promise; notes if that fails or there is no time for all of it."""
    try:
        trust = learn(plan, judged)
    except Exception as error:
        # As everything beside the weights: an image that is lost, or a full memory.
        logger.exception("learning what to promise failed")
        return None, [f"nothing can be promised: {error}"]
    hasty = [] if trust.evidence else [f"{EVIDENCE} is left out: training did not come to its end"]
    return trust, [*hasty, *([f"not calibrated: {trust.calibration.reason}"] if trust.calibration.reason else [])]


def _attempt(path: Path, write: Callable[[Path], object]) -> list[str]:
    """Write a file or folder. Returns: a note if that fails, and then there is none."""
    try:
        write(path)
    except Exception as error:
        # Whatever is wrong with an image, a font, a package or the disk, the model is worth more.
        logger.exception("%s failed", path.name)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return [f"{path.name} is left out: {error}"]
    return []


def _steps(plan: Plan, judged: Judged, config: ModelConfig, trust: Trust | None) -> Iterator[Step]:
    """The golden set, what else was asked for, and the evidence."""
    network, parameters, preprocessing = judged.network, plan.parameters, plan.start.preprocessing

    def crops(most: int) -> NDArray[np.uint8]:
        return plan.reader.crops(pick(plan.dataset.val, most, parameters.seed))

    yield GOLDEN, lambda path: write_golden(path.parent, golden_set(network, crops(GOLDEN_IMAGES), config))
    if parameters.export_pth:
        yield f"{_file_name(plan)}.pth", lambda path: _write_pth(network, path)
    if parameters.export_onnx:
        yield ONNX, lambda path: export_onnx(network, plan.dataset.labels, preprocessing, path, crops(COMPARED_IMAGES))
    if trust and (evidence := trust.evidence):
        yield EVIDENCE, lambda path: write_evidence(path.parent, evidence)


def _file_name(plan: Plan) -> str:
    """The model's name as it was asked for, or that of the architecture of one's own."""
    found = plan.start.architecture
    return plan.parameters.model_name if found == Architecture.from_name(plan.parameters.model_name) else found.name


def _write_pth(network: ResNet, path: Path) -> None:
    with errors_of_the_disk(path):
        torch.save(network.state_dict(), path)


def _quantize(
    draft: Path, plan: Plan, trust: Trust | None, listener: Listener, hurried: bool
) -> tuple[Quantized | None, list[str]]:
    if not plan.parameters.quantize:
        return None, []
    if hurried:
        return None, [f"stopped, and therefore not quantized; {LATER}"]
    int8, note = quantize_trained(draft, plan, trust.outputs if trust else None, listener)
    return int8, [note]


def _sections(
    plan: Plan, notes: Sequence[str], judged: Judged, int8: Quantized | None, trust: Trust | None
) -> Iterator[Section]:
    if trust:
        yield Section("What can be promised", trust.lines())
    if judged.test:
        yield judged_once(judged.test.evaluation)
    if int8:
        yield compared(int8)
    yield Section("Notes", [*plan.notes, *notes])
    yield Section("Settings", settings=plan.parameters.to_strings())


def _figures(plan: Plan, judged: Judged, history: Sequence[Row]) -> dict[str, Any]:
    """Of `metrics.json` what is known before anything is written."""
    dataset = plan.dataset
    return {
        "format_version": METRICS_VERSION,
        "validation": judged.validation.evaluation.to_dict(),
        "test": judged.test.evaluation.to_dict() if judged.test else None,
        "history": [dict(row) for row in history],
        "best_epoch": best_epoch(history, plan.parameters.best_epoch_by),
        "best_epoch_by": plan.parameters.best_epoch_by,
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "train": len(dataset.train),
            "val": len(dataset.val),
            "test": len(dataset.test),
            "train_per_class": dict(zip(dataset.labels, dataset.counts(), strict=True)),
        },
        "parameters": plan.parameters.to_strings(),
    }
