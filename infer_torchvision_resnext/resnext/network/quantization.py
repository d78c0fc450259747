"""Post-training quantization: a model folder gains `openvino/int8.xml`, if that costs little enough accuracy.

NNCF is needed for this only, not for running the result. Of the model folder only the weights and `config.json` are
read, so that the draft of one will do.
"""

import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..folder.model_folder import WEIGHTS, read_config
from ..folder.weight_files import read_state, sha256_of
from ..machine.telemetry import without_telemetry

FOLDER, GRAPH, REPORT = "openvino", "int8.xml", "int8.json"
INT8_GRAPH, INT8_REPORT = f"{FOLDER}/{GRAPH}", f"{FOLDER}/{REPORT}"
INT8_FILES = (INT8_REPORT, INT8_GRAPH, f"{FOLDER}/int8.bin")
"""In a model folder."""

CALIBRATION = 300
"""Images that ranges of activations are taken from; more change nothing."""

MAX_DROP = 0.01


class Batches(Protocol):
    """Crops as `Preprocessing.crop` gives them, RGB, uint8, N x S x S x 3 each; gone through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


class QuantizationError(RuntimeError):
    """There is no quantized model; the message says why and what to do."""


@dataclass(frozen=True)
class Quantized:
    """What quantization cost.

    Attributes:
        fp32_accuracy: share of right answers in fp32; 1 where the true classes are unknown, and fp32's count as such.
        int8_accuracy: share of right answers in int8, on the same images.
        images: how many these were.
        max_drop: how much lower accuracy in int8 was allowed to be, as a fraction.
        kept: whether it was not lower than that, and the model folder now holds the quantized model.
        weights_sha256: of the weights that were quantized.
        graph_sha256: of each file of the quantized network.
    """

    fp32_accuracy: float
    int8_accuracy: float
    images: int
    max_drop: float
    kept: bool
    weights_sha256: str
    graph_sha256: dict[str, str]

    def __str__(self) -> str:
        verdict = "kept" if self.kept else f"not kept, the drop allowed is {self.max_drop:.2%}"
        return f"fp32 {self.fp32_accuracy:.2%}, int8 {self.int8_accuracy:.2%} right on {self.images} images: {verdict}"


def require_packages() -> Any:
    """NNCF, with OpenVINO behind it. Raises: QuantizationError, naming what to install."""
    try:
        with without_telemetry():
            import nncf
            import openvino  # noqa: F401  (missing, it must be named now and not when the work is done)
    except ImportError as error:
        raise QuantizationError(
            f"quantization needs the packages nncf and openvino ({error}): run pip install nncf openvino"
        ) from error
    return nncf


def quantize(  # noqa: PLR0913, PLR0917 (the last three have defaults)
    folder: Path,
    calibration: Batches,
    validation: Batches,
    targets: Sequence[int] | None = None,
    max_drop: float = MAX_DROP,
    exact: NDArray[np.int64] | None = None,
) -> Quantized:
    """Quantize a model folder to int8, and keep the result within the accuracy drop.

    Args:
        folder: a model folder; gains or replaces `openvino/`, and is left as it was by whatever is raised.
        calibration: to take ranges from; batches of one image each.
        validation: others, to measure accuracy on.
        targets: their true classes; None = what the network says in fp32.
        max_drop: how much lower accuracy in int8 may be, as a fraction.
        exact: what the network says of them in fp32, where that is known; None = it is computed here.

    Raises:
        QuantizationError: NNCF or OpenVINO is not installed, or there are no images.
        ConversionError: the network cannot be converted.
        ModelFolderError, WeightFileError: the folder cannot be read.
        Exception: of NNCF's own, or what iterating over the images raises.
    """
    if not len(calibration) or not len(validation):
        raise QuantizationError(
            f"{len(calibration)} batches to calibrate on, {len(validation)} to measure on: both need images"
        )
    nncf = require_packages()
    from nncf.quantization.advanced_parameters import OverflowFix

    from .answering import answering
    from .conversion import to_openvino
    from .openvino_network import OpenVINONetwork, save

    config, weights = read_config(folder), folder / WEIGHTS
    network = config.network.load(read_state(weights, config.network)).float()
    graph = to_openvino(answering(network, apart=True), config.preprocessing)
    draft = folder / f".{FOLDER}-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        quantized = nncf.quantize(
            graph,
            nncf.Dataset(calibration),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=min(len(calibration), CALIBRATION),
            # Processors without VNNI add products of bytes up in 16 bits, which overflow with weights of eight.
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
        )
        save(quantized, draft / GRAPH)
        if exact is None:
            exact = _answers(OpenVINONetwork(graph, "fp32"), validation, config.num_classes)
        rounded = _answers(OpenVINONetwork(draft / GRAPH, "int8"), validation, config.num_classes)
        truth = exact if targets is None else np.asarray(targets)
        before, after = float((exact == truth).mean()), float((rounded == truth).mean())
        kept = after >= before - max_drop
        parts = {file.name: sha256_of(file) for file in (draft / GRAPH, (draft / GRAPH).with_suffix(".bin"))}
        report = Quantized(before, after, len(truth), max_drop, kept, sha256_of(weights), parts)
        (draft / REPORT).write_text(json.dumps(asdict(report), indent=2), encoding="utf-8")
        if kept:
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
            draft.rename(folder / FOLDER)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return report


def _answers(network: Any, batches: Batches, classes: int) -> NDArray[np.int64]:
    """The best class of every image."""
    return np.concatenate([network.run(crops)[:, :classes].argmax(axis=1) for crops in batches])
