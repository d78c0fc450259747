"""The best network → the model folder with its figures, report and exports."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.samples import pick
from ..metrics.best_epoch import best_epoch
from ..resnext.folder.golden import write_golden
from ..resnext.folder.model_folder import ModelConfig, write_model_folder
from ..resnext.folder.names import GOLDEN
from ..resnext.folder.quantization import Quantized
from ..resnext.trust.evidence import EVIDENCE, read_evidence, write_evidence
from ..run.plan import Plan
from ..run.progress import Listener, StopRequestedError
from .export import export_onnx, export_pth
from .judging import GOLDEN_IMAGES, Judged, golden_set
from .quantizing import quantize_trained
from .report import Section, compared, judged_once, write_report
from .trust import Trust, learn

logger = logging.getLogger(__name__)

METRICS = "metrics.json"
METRICS_VERSION = 1
REPORT = "report"
ANSWERS, TEST_ANSWERS = "validation.csv", "test.csv"
ONNX = "model.onnx"

COMPARED_IMAGES = 8
"""Validation images on which an exported network is compared."""

Step = tuple[str, Callable[[Path], object]]
"""The name of a file or folder within the model folder, and what writes it there."""


def write_outcome(
    folder: Path,
    plan: Plan,
    judged: Judged,
    listener: Listener,
    check: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Write the model folder, whole or not at all.

    Nothing but weights, configuration and figures can cost the model. Golden set, exports and report are left out where
    they fail, and a note says why.

    Args:
        listener: is told how quantizing goes, and may stop it.
        check: called before each batch and before each file; what it raises ends it, and leaves what stood there.

    Returns:
        What the user should know, such as what is left out and why.

    Raises:
        OSError: the folder cannot be written.
    """
    trust, notes = _learn(plan, judged, check)
    calibration = trust.calibration if trust else None
    if calibration:
        judged = judged.at(calibration.temperature)
    start = plan.start
    config = ModelConfig.of(start.architecture, plan.dataset.labels, start.preprocessing, calibration, plan.costs)
    if not (trust and trust.evidence):
        config = config.without_evidence(judged.no_features or "; ".join(notes))

    def complete(draft: Path) -> None:
        for name, write in _steps(plan, judged, config, trust):
            check()
            notes.extend(_attempt(draft / name, write))
        exact = None if judged.no_features else judged.outputs
        int8, told = quantize_trained(draft, plan, exact, listener, judged.interrupted)
        notes.extend(told)
        check()
        known, costs = plan.noted(*notes), [compared(int8)] if int8 else []
        notes.extend(_attempt(draft / REPORT, lambda report: _write_report(report, known, judged, trust, costs)))
        check()
        _write_metrics(draft, plan.noted(*notes), judged, int8, trust)

    write_model_folder(folder, config, judged.network.state_dict(), complete)
    return tuple(notes)


def write_brief_outcome(folder: Path, plan: Plan, judged: Judged) -> tuple[str, ...]:
    """Write weights, configuration and figures, which takes a moment, in place of the folder.

    Args:
        judged: by the network's own epoch.

    Returns, raises:
        As `write_outcome`.
    """
    trust, notes = _learn(plan, judged, lambda: None)
    calibration = trust.calibration if trust else None
    start, labels = plan.start, plan.dataset.labels
    config = ModelConfig.of(start.architecture, labels, start.preprocessing, calibration, plan.costs)
    config = config.without_evidence(judged.no_features)
    notes.append(f"{REPORT}, {GOLDEN} and exports are left out: {judged.no_features}")

    def complete(draft: Path) -> None:
        _write_metrics(draft, plan.noted(*notes), judged, None, trust)

    write_model_folder(folder, config, judged.network.state_dict(), complete)
    return tuple(notes)


def _write_metrics(folder: Path, plan: Plan, judged: Judged, int8: Quantized | None, trust: Trust | None) -> None:
    figures = {
        **_figures(plan, judged),
        "int8": int8.to_dict() if int8 else None,
        "trust": trust.to_dict() if trust else None,
    }
    text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / METRICS).write_text(text, encoding="utf-8")


def _learn(plan: Plan, judged: Judged, check: Callable[[], None]) -> tuple[Trust | None, list[str]]:
    """What to promise; notes if that fails, or if not all of it is known."""
    try:
        trust = learn(plan, judged, check)
    except StopRequestedError:
        raise
    except Exception as error:
        # As everything beside the weights: an image that is lost, or a full memory.
        logger.exception("learning what to promise failed")
        return None, [f"nothing can be promised: {error}"]
    missing = [] if trust.evidence else [f"{EVIDENCE} is left out: {judged.no_features}"]
    return trust, [*missing, *([f"not calibrated: {trust.calibration.reason}"] if trust.calibration.reason else [])]


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
    """The evidence, the golden set, which knows of it, and what else was asked for."""
    network, parameters, preprocessing = judged.network, plan.parameters, plan.start.preprocessing

    def crops(most: int = GOLDEN_IMAGES) -> NDArray[np.uint8]:
        if judged.crops is None:
            return plan.reader.crops(pick(plan.dataset.val, most, parameters.seed))
        count = len(judged.crops)
        return judged.crops[np.linspace(0, count - 1, min(most, count), dtype=int)]

    def write_golden_set(path: Path) -> None:
        write_golden(path.parent, golden_set(network, crops(), config, read_evidence(path.parent)))

    if trust and (evidence := trust.evidence):
        yield EVIDENCE, lambda path: write_evidence(path.parent, evidence)
    yield GOLDEN, write_golden_set
    if parameters.export_pth:
        yield f"{plan.model_name}.pth", lambda path: export_pth(network, path)
    if parameters.export_onnx:
        yield ONNX, lambda path: export_onnx(network, plan.dataset.labels, preprocessing, path, crops(COMPARED_IMAGES))


def _write_report(folder: Path, plan: Plan, judged: Judged, trust: Trust | None, int8: Sequence[Section]) -> None:
    """Pictures, page and the tables of all answers."""
    parameters, root = plan.parameters, plan.dataset.root
    sections = [
        *([Section("What can be promised", trust.lines())] if trust else []),
        *([judged_once(judged.test.evaluation)] if judged.test else []),
        *int8,
        Section("Notes", plan.notes),
        Section("Settings", settings=parameters.to_strings()),
    ]
    write_report(folder, judged.validation, judged.history, sections, parameters.best_epoch_by)
    judged.validation.write_csv(folder / ANSWERS, root)
    if judged.test:
        judged.test.write_csv(folder / TEST_ANSWERS, root)


def _figures(plan: Plan, judged: Judged) -> dict[str, Any]:
    """The content of `metrics.json`, but for int8 and trust."""
    dataset, parameters = plan.dataset, plan.parameters
    return {
        "format_version": METRICS_VERSION,
        "validation": judged.validation.evaluation.to_dict(),
        "test": judged.test.evaluation.to_dict() if judged.test else None,
        "history": [dict(row) for row in judged.history],
        "best_epoch": best_epoch(judged.history, parameters.best_epoch_by),
        "best_epoch_by": parameters.best_epoch_by,
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "train": len(dataset.train),
            "val": len(dataset.val),
            "test": len(dataset.test),
            "train_per_class": dict(zip(dataset.labels, dataset.counts(), strict=True)),
        },
        "parameters": parameters.to_strings(),
        "notes": list(plan.notes),
    }
