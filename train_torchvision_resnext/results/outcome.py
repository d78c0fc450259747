"""The best network → the model folder with its figures, report and exports."""

import csv
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models import ResNet

from ..data.dataset import Sample
from ..data.picks import crops_of, pick
from ..fitting.epochs import Listener, Row
from ..planning import Plan
from ..resnext.folder.golden import GOLDEN, write_golden
from ..resnext.folder.model_folder import ModelConfig, write_model_folder
from ..resnext.folder.weight_files import errors_of_the_disk
from ..resnext.host.shown_text import shown
from ..resnext.network.architecture import Architecture
from ..resnext.network.inference import softmax
from ..resnext.network.quantization import Quantized
from .evaluation import Evaluation
from .export import export_onnx
from .golden_set import golden_set
from .quantizing import LATER, quantize_trained
from .report import wilson_interval, write_report

logger = logging.getLogger(__name__)

METRICS = "metrics.json"
METRICS_VERSION = 1
REPORT = "report"
ANSWERS, TEST_ANSWERS = "validation.csv", "test.csv"
ONNX = "model.onnx"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet computes."""

REFERENCE_IMAGES = 8
"""Validation images on which an exported network is compared."""


@dataclass(frozen=True)
class Findings:
    """How the best network did.

    Attributes:
        logits: its answers to the validation images, N x C.
        history: a row for each epoch of the training.
        test_logits: its answers to the test images; None where there are none, or nobody waited for them.
        test: how it did on these.
    """

    evaluation: Evaluation
    logits: NDArray[np.float32]
    history: tuple[Row, ...]
    test_logits: NDArray[np.float32] | None
    test: Evaluation | None


def targets_of(samples: Sequence[Sample]) -> NDArray[np.int64]:
    return np.array([sample.target for sample in samples], np.int64)


def write_outcome(folder: Path, plan: Plan, network: ResNet, findings: Findings, listener: Listener | None) -> None:
    """Write the model folder, whole or not at all.

    Nothing but weights, configuration and figures can cost the model. Golden set, exports and report are left out where
    they fail, and the plan notes why.

    Args:
        network: the best one, in evaluation mode, on the CPU, in fp32.
        listener: is told how quantizing goes; None = there is no time for it.

    Raises:
        OSError: the folder cannot be written.
    """
    dataset, parameters = plan.dataset, plan.parameters
    state = network.state_dict()

    def complete(draft: Path) -> None:
        def attempt(path: Path, write: Callable[[], None]) -> None:
            try:
                write()
            except Exception as error:
                # Whatever is wrong with an image, a font, a package or the disk, the model is worth more.
                logger.exception("%s failed", path.name)
                _discard(path)
                plan.notes.append(f"{path.name} is left out: {error}")

        attempt(draft / GOLDEN, lambda: _write_golden(network, plan, draft))
        if parameters.export_pth:
            pth = draft / f"{_file_name(plan)}.pth"
            attempt(pth, lambda: _write_pth(state, pth))
        if parameters.export_onnx:
            attempt(draft / ONNX, lambda: _export(network, plan, draft))
        int8 = _quantize(draft, plan, findings, listener)
        attempt(draft / REPORT, lambda: _write_report(draft / REPORT, plan, findings, int8))
        _write_json(draft / METRICS, _metrics(plan, findings, int8))

    config = ModelConfig.of(plan.start.architecture, dataset.labels, plan.start.preprocessing)
    write_model_folder(folder, config, state, complete)


def _file_name(plan: Plan) -> str:
    """The model's name as it was asked for, or that of the architecture of one's own."""
    found = plan.start.architecture
    return plan.parameters.model_name if found == Architecture.from_name(plan.parameters.model_name) else found.name


def _write_pth(state: Mapping[str, torch.Tensor], path: Path) -> None:
    with errors_of_the_disk(path):
        torch.save(state, path)


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _export(network: ResNet, plan: Plan, draft: Path) -> None:
    preprocessing = plan.start.preprocessing
    reference = crops_of(pick(plan.dataset.val, REFERENCE_IMAGES, plan.parameters.seed), preprocessing)
    export_onnx(network, plan.dataset.labels, preprocessing, draft / ONNX, reference)


def _write_golden(network: ResNet, plan: Plan, draft: Path) -> None:
    write_golden(draft, golden_set(network, plan.dataset.val, plan.start.preprocessing, plan.parameters.seed))


def _write_report(folder: Path, plan: Plan, findings: Findings, int8: Quantized | None) -> None:
    val = plan.dataset.val
    write_report(
        folder,
        findings.evaluation,
        findings.history,
        [sample.path for sample in val],
        findings.logits,
        targets_of(val),
        plan.dataset.labels,
        _sections(plan, findings.test, int8),
    )
    _write_answers(folder / ANSWERS, plan, plan.dataset.val, findings.logits)
    if findings.test_logits is not None:
        _write_answers(folder / TEST_ANSWERS, plan, plan.dataset.test, findings.test_logits)


def _quantize(draft: Path, plan: Plan, findings: Findings, listener: Listener | None) -> Quantized | None:
    if not plan.parameters.quantize:
        return None
    if listener is None:
        plan.notes.append(f"stopped, and therefore not quantized; {LATER}")
        return None
    return quantize_trained(draft, plan, findings.logits, listener)


def _sections(plan: Plan, test: Evaluation | None, int8: Quantized | None) -> dict[str, list[str]]:
    """Heading → lines, for the report."""
    settings = [f"{key} = {value}" for key, value in plan.parameters.to_strings().items()]
    judged = _judged(test) if test else []
    return {
        "Test images, judged once": judged,
        "Accuracy in int8": _compared(int8) if int8 else [],
        "Notes": list(plan.notes),
        "Settings": settings,
    }


def _judged(test: Evaluation) -> list[str]:
    low, high = wilson_interval(round(test.top1 * test.count), test.count)
    return [
        "They had no part in the training, nor in the choice of its best epoch.",
        f"top-1 = {100 * test.top1:.1f} % of {test.count:,}, 95 % interval {100 * low:.1f} to {100 * high:.1f} %",
        f"macro-F1 = {100 * test.macro_f1:.1f} %",
        f"loss = {test.loss:.3f}",
        *test.notes,
    ]


def _compared(int8: Quantized) -> list[str]:
    verdict = "The int8 network is kept" if int8.kept else "The int8 network is not kept"
    return [
        f"{verdict}: its top-1 accuracy may be lower by {100 * int8.max_drop:.4g} points.",
        f"fp32 = {100 * int8.fp32_accuracy:.2f} %",
        f"int8 = {100 * int8.int8_accuracy:.2f} %",
        f"images = {int8.images}",
    ]


def _metrics(plan: Plan, findings: Findings, int8: Quantized | None) -> dict[str, Any]:
    return {
        "format_version": METRICS_VERSION,
        "validation": findings.evaluation.to_dict(),
        "test": findings.test.to_dict() if findings.test else None,
        "history": [dict(row) for row in findings.history],
        "int8": asdict(int8) if int8 else None,
        "dataset": {
            "fingerprint": plan.dataset.fingerprint,
            "train": len(plan.dataset.train),
            "val": len(plan.dataset.val),
            "test": len(plan.dataset.test),
            "train_per_class": dict(zip(plan.dataset.labels, plan.dataset.counts(), strict=True)),
        },
        "parameters": plan.parameters.to_strings(),
        "notes": list(plan.notes),
    }


def _write_answers(path: Path, plan: Plan, samples: Sequence[Sample], logits: NDArray[np.float32]) -> None:
    """A row for each image: what it is, and what the model says."""
    labels, root = plan.dataset.labels, plan.dataset.root
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "true", "predicted", "probability", "probability_of_true"])
        for sample, row in zip(samples, softmax(logits), strict=True):
            best = int(row.argmax())
            words = (sample.path.relative_to(root).as_posix(), labels[sample.target], labels[best])
            table.writerow([*map(_cell, words), row[best], row[sample.target]])


def _cell(text: str) -> str:
    """A name as spreadsheets show it; what begins like a formula they would compute."""
    return f"'{shown(text)}" if text.startswith(FORMULA) else shown(text)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")
