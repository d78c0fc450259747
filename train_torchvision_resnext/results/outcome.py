"""The best network → the model folder with its figures, report and exports."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models import ResNet

from ..data.picks import crops_of, pick
from ..planning import Plan
from ..progress import Listener, Row
from ..resnext.folder.golden import GOLDEN, write_golden
from ..resnext.folder.model_folder import ModelConfig, write_model_folder
from ..resnext.folder.whole import errors_of_the_disk
from ..resnext.network.architecture import Architecture
from ..resnext.network.inference import Outputs
from ..resnext.network.quantization import Quantized
from ..resnext.trust.evidence import EVIDENCE, read_evidence, write_evidence
from .answers import Answers
from .best_epoch import best_epoch
from .evaluation import Evaluation
from .export import export_onnx
from .golden_set import golden_set
from .page import percent
from .quantizing import LATER, quantize_trained
from .report import Section, write_report
from .trust import Trust, learn

logger = logging.getLogger(__name__)

METRICS = "metrics.json"
METRICS_VERSION = 1
REPORT = "report"
ANSWERS, TEST_ANSWERS = "validation.csv", "test.csv"
ONNX = "model.onnx"

REFERENCE_IMAGES = 8
"""Validation images on which an exported network is compared."""


@dataclass(frozen=True)
class Outcome:
    """What came of writing a model folder.

    Attributes:
        int8: what the int8 network costs; None where there is none to tell of.
        notes: what the user should know, such as what is left out and why.
    """

    int8: Quantized | None
    notes: tuple[str, ...]


def write_outcome(  # noqa: PLR0913, PLR0917 (all that a model folder tells of)
    folder: Path,
    plan: Plan,
    network: ResNet,
    history: Sequence[Row],
    validation: Answers,
    test: Answers | None,
    listener: Listener,
    hurried: bool,
) -> Outcome:
    """Write the model folder, whole or not at all.

    Nothing but weights, configuration and figures can cost the model. Golden set, exports and report are left out where
    they fail, and a note says why.

    Args:
        network: the best one, in evaluation mode, on the CPU, in fp32.
        history: a row for each epoch of the training.
        validation, test: the network's answers; None where there are no test images, or nobody waited for them.
        listener: is told how quantizing goes, and may stop it.
        hurried: there is no time to quantize.

    Raises:
        OSError: the folder cannot be written.
    """
    outcome = Outcome(None, ())
    trust, untrusted = _learn(plan, network, validation, hurried)
    calibration = trust.calibration if trust else None
    if calibration:
        validation = validation.at(calibration.temperature)
        test = test.at(calibration.temperature) if test else None
    config = ModelConfig.of(
        plan.start.architecture, plan.dataset.labels, plan.start.preprocessing, calibration, plan.costs
    )

    def complete(draft: Path) -> None:
        nonlocal outcome
        notes = [*untrusted]
        if trust and (evidence := trust.evidence):
            notes += _attempt(draft / EVIDENCE, lambda: write_evidence(draft, evidence))
        notes += _write_exports(draft, plan, network, config)
        int8, told = _quantize(draft, plan, trust.outputs if trust else None, listener, hurried)
        notes += told
        report = draft / REPORT

        def write_all() -> None:
            by = plan.parameters.best_epoch_by
            write_report(report, validation, history, _sections(plan, notes, test, int8, trust), trust, by)
            validation.write_csv(report / ANSWERS, plan.dataset.root)
            if test:
                test.write_csv(report / TEST_ANSWERS, plan.dataset.root)

        notes += _attempt(report, write_all)
        outcome = Outcome(int8, tuple(notes))
        figures = {**_figures(plan, validation, test, history, outcome), "trust": trust.to_dict() if trust else None}
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
        (draft / METRICS).write_text(text, encoding="utf-8")

    write_model_folder(folder, config, network.state_dict(), complete)
    return outcome


def _learn(plan: Plan, network: ResNet, validation: Answers, hurried: bool) -> tuple[Trust | None, list[str]]:
    """What to promise; a note if that fails or there is no time for all of it."""
    try:
        trust = learn(plan, network, validation, hurried)
    except Exception as error:
        # As everything beside the weights: an image that is lost, or a full memory.
        logger.exception("learning what to promise failed")
        return None, [f"nothing can be promised: {error}"]
    hasty = [] if trust.evidence else [f"{EVIDENCE} is left out: training did not come to its end"]
    return trust, [*hasty, *([f"not calibrated: {trust.calibration.reason}"] if trust.calibration.reason else [])]


def _attempt(path: Path, write: Callable[[], object]) -> list[str]:
    """Write a file or folder. Returns: a note if that fails, and then there is none."""
    try:
        write()
    except Exception as error:
        # Whatever is wrong with an image, a font, a package or the disk, the model is worth more.
        logger.exception("%s failed", path.name)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return [f"{path.name} is left out: {error}"]
    return []


def _write_exports(draft: Path, plan: Plan, network: ResNet, config: ModelConfig) -> list[str]:
    """The golden set, of the evidence that the draft has, and what else was asked for.

    Returns: a note for each that fails.
    """
    golden, pth, onnx = draft / GOLDEN, draft / f"{_file_name(plan)}.pth", draft / ONNX
    dataset, seed = plan.dataset, plan.parameters.seed

    def write_golden_set() -> None:
        write_golden(draft, golden_set(network, dataset.val, config, read_evidence(draft), seed))

    notes = _attempt(golden, write_golden_set)
    if plan.parameters.export_pth:
        notes += _attempt(pth, lambda: _write_pth(network, pth))
    if plan.parameters.export_onnx:
        notes += _attempt(onnx, lambda: _write_onnx(onnx, plan, network))
    return notes


def _file_name(plan: Plan) -> str:
    """The model's name as it was asked for, or that of the architecture of one's own."""
    found = plan.start.architecture
    return plan.parameters.model_name if found == Architecture.from_name(plan.parameters.model_name) else found.name


def _write_pth(network: ResNet, path: Path) -> None:
    with errors_of_the_disk(path):
        torch.save(network.state_dict(), path)


def _write_onnx(path: Path, plan: Plan, network: ResNet) -> None:
    preprocessing = plan.start.preprocessing
    reference = crops_of(pick(plan.dataset.val, REFERENCE_IMAGES, plan.parameters.seed), preprocessing)
    export_onnx(network, plan.dataset.labels, preprocessing, path, reference)


def _quantize(
    draft: Path, plan: Plan, validation: Outputs | None, listener: Listener, hurried: bool
) -> tuple[Quantized | None, list[str]]:
    if not plan.parameters.quantize:
        return None, []
    if hurried:
        return None, [f"stopped, and therefore not quantized; {LATER}"]
    int8, note = quantize_trained(draft, plan, validation, listener)
    return int8, [note]


def _sections(
    plan: Plan, notes: Sequence[str], test: Answers | None, int8: Quantized | None, trust: Trust | None
) -> list[Section]:
    return [
        *([Section("What can be promised", trust.lines())] if trust else []),
        *([_judged(test.evaluation)] if test else []),
        *([_compared(int8)] if int8 else []),
        Section("Notes", [*plan.notes, *notes]),
        Section("Settings", settings=plan.parameters.to_strings()),
    ]


def _judged(test: Evaluation) -> Section:
    low, high = test.top1_interval
    lines = ["They had no part in the training, nor in the choice of its best epoch.", *test.notes]
    figures = {
        "top-1": f"{percent(test.top1)} of {test.count:,}, 95 % interval {percent(low)} to {percent(high)}",
        "macro F1": percent(test.macro_f1),
        "loss": f"{test.loss:.3f}",
    }
    return Section("Test images, judged once", lines, figures)


def _compared(int8: Quantized) -> Section:
    allowed = f"each figure may be worse by {100 * int8.max_drop:.4g} points"
    verdict = "; ".join(int8.worse) if int8.worse else allowed
    pairs = {
        "accuracy": (int8.fp32_accuracy, int8.int8_accuracy),
        "calibration error": (int8.fp32_calibration_error, int8.int8_calibration_error),
        "unknown": (int8.fp32_unknown, int8.int8_unknown),
    }
    figures = {
        name: f"{100 * exact:.2f} % in fp32, {100 * rounded:.2f} % in int8"
        for name, (exact, rounded) in pairs.items()
        if exact is not None and rounded is not None
    }
    kept = f"The int8 network is {'kept' if int8.kept else 'not kept'}: {verdict}."
    return Section("What int8 costs", [kept], {**figures, "images": f"{int8.images:,}"})


def _figures(
    plan: Plan, validation: Answers, test: Answers | None, history: Sequence[Row], outcome: Outcome
) -> dict[str, Any]:
    """The content of `metrics.json`."""
    dataset = plan.dataset
    return {
        "format_version": METRICS_VERSION,
        "validation": validation.evaluation.to_dict(),
        "test": test.evaluation.to_dict() if test else None,
        "history": [dict(row) for row in history],
        "best_epoch": best_epoch(history, plan.parameters.best_epoch_by),
        "best_epoch_by": plan.parameters.best_epoch_by,
        "int8": outcome.int8.to_dict() if outcome.int8 else None,
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "train": len(dataset.train),
            "val": len(dataset.val),
            "test": len(dataset.test),
            "train_per_class": dict(zip(dataset.labels, dataset.counts(), strict=True)),
        },
        "parameters": plan.parameters.to_strings(),
        "notes": [*plan.notes, *outcome.notes],
    }
