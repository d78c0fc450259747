"""Post-training quantization: a model folder gains `openvino/int8.xml`, if that keeps what the model promises.

Accuracy, calibration and `unknown` are measured in fp32 and in int8, on the same images. NNCF is needed for this only,
not for running the result. Of the model folder only the weights, `config.json` and `trust.safetensors` are read, so
that the draft of one will do.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ..machine.disk import DiscardDraft, sha256_of, whole_folder
from ..machine.telemetry import without_telemetry
from ..network.outputs import Outputs
from ..trust.calibration import calibrated, expected_calibration_error
from ..trust.evidence import Evidence, read_evidence
from ..trust.open_set import SENSITIVITY, threshold
from .model_folder import ModelConfig, read_config
from .names import INT8_FOLDER, INT8_GRAPH, INT8_REPORT, WEIGHTS
from .weight_files import read_state

CALIBRATION = 300
"""Images that ranges of activations are taken from; more change nothing."""


class Batches(Protocol):
    """Crops as `Preprocessing.crop` gives them, RGB, uint8, N x S x S x 3 each; gone through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


@dataclass(frozen=True)
class Validation:
    """What a quantized network is measured on.

    Attributes:
        crops: of other images than it is calibrated on.
        targets: their true classes; None = what the network says in fp32.
        exact: what the network says of them in fp32, where that is known; None = it is computed.
    """

    crops: Batches
    targets: Sequence[int] | None = None
    exact: Outputs | None = None


class QuantizationError(RuntimeError):
    """There is no quantized model; the message says why and what to do."""


@dataclass(frozen=True)
class Quantized:
    """What quantization cost.

    Attributes:
        fp32_accuracy: share of right answers in fp32; 1 where the true classes are unknown, and fp32's count as such.
        int8_accuracy: share of right answers in int8, on the same images.
        fp32_calibration_error: expected, in fp32, with the model folder's temperature.
        int8_calibration_error: the same in int8.
        fp32_unknown: share of the images that are `unknown` in fp32 for being unlike what was learned, at the default
            sensitivity; None where the model folder brings no evidence.
        int8_unknown: the same in int8.
        images: how many these were.
        max_drop: how much worse each of the three was allowed to be, as a fraction.
        worse: those that are worse by more, a sentence each.
        weights_sha256: of the weights that were quantized.
        graph_sha256: of each file of the quantized network.
    """

    fp32_accuracy: float
    int8_accuracy: float
    fp32_calibration_error: float
    int8_calibration_error: float
    fp32_unknown: float | None
    int8_unknown: float | None
    images: int
    max_drop: float
    worse: tuple[str, ...]
    weights_sha256: str
    graph_sha256: dict[str, str]

    @property
    def kept(self) -> bool:
        """Whether the model folder now holds the quantized model."""
        return not self.worse

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "worse": list(self.worse), "kept": self.kept}

    def __str__(self) -> str:
        verdict = "; ".join(["not kept", *self.worse]) if self.worse else "kept"
        return f"fp32 {self.fp32_accuracy:.2%}, int8 {self.int8_accuracy:.2%} right on {self.images} images: {verdict}"


@dataclass(frozen=True)
class _Figures:
    """What one of the networks promises, and how well; see `Quantized`."""

    accuracy: float
    calibration_error: float
    unknown: float | None

    @classmethod
    def of(cls, outputs: Outputs, truth: NDArray[np.int64], config: ModelConfig, evidence: Evidence | None) -> Self:
        temperature = config.resnext.calibration.temperature if config.resnext.calibration else 1.0
        return cls(
            float((outputs.logits.argmax(axis=1) == truth).mean()),
            expected_calibration_error(calibrated(outputs.logits, temperature), truth),
            _unknown(outputs, evidence) if evidence else None,
        )


def _unknown(outputs: Outputs, evidence: Evidence) -> float:
    least = threshold(evidence.known_score, 1 - SENSITIVITY)
    return float((evidence.known_features.scores(outputs.logits, outputs.features) < least).mean())


def _worse(exact: _Figures, rounded: _Figures, max_drop: float, truth_is_known: bool) -> Iterator[str]:
    """What int8 does worse by more than is allowed, a sentence each."""
    for name, before, after in (
        ("accuracy", exact.accuracy, rounded.accuracy),
        ("calibration error", exact.calibration_error, rounded.calibration_error),
        ("share of unknown", exact.unknown, rounded.unknown),
    ):
        if before is None or after is None:
            continue
        change = before - after if name == "accuracy" else after - before
        if name == "calibration error" and not truth_is_known:
            # By answers of its own a network is never wrong: a smaller error means surer answers, not better ones.
            change = abs(change)
        if change > max_drop:
            yield f"its {name} is {after:.2%} and in fp32 {before:.2%}, a change of {max_drop:.2%} is allowed"


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


def quantize(folder: Path, calibration: Batches, validation: Validation, max_drop: float) -> Quantized:
    """Quantize a model folder to int8, and keep the result if accuracy, calibration and `unknown` hold.

    Args:
        folder: a model folder; gains or replaces `openvino/`, and is left as it was by whatever is raised.
        calibration: to take ranges from; batches of one image each.
        max_drop: how much worse each of the three may be in int8, as a fraction.

    Raises:
        QuantizationError: NNCF or OpenVINO is not installed, or there are no images.
        ConversionError: the network cannot be converted.
        ModelFolderError, WeightFileError, EvidenceError: the folder cannot be read.
        Exception: of NNCF's own, or what iterating over the images raises.
    """
    if not len(calibration) or not len(validation.crops):
        raise QuantizationError(
            f"{len(calibration)} batches to calibrate on, {len(validation.crops)} to measure on: both need images"
        )
    nncf = require_packages()
    from ..network.openvino_network import OpenVINONetwork, Setup, save

    config, evidence = read_config(folder), read_evidence(folder)
    graph = _in_fp32(folder, config)
    with whole_folder(folder / INT8_FOLDER) as draft:
        file = draft / Path(INT8_GRAPH).name
        save(_in_int8(nncf, graph, calibration), file)
        exact = validation.exact or _outputs(
            OpenVINONetwork(graph, Setup("fp32")), validation.crops, config.num_classes
        )
        rounded = _outputs(OpenVINONetwork(file, Setup("int8")), validation.crops, config.num_classes)
        truth = exact.logits.argmax(axis=1) if validation.targets is None else np.asarray(validation.targets)
        before, after = (_Figures.of(each, truth, config, evidence) for each in (exact, rounded))
        report = Quantized(
            *(before.accuracy, after.accuracy),
            *(before.calibration_error, after.calibration_error),
            *(before.unknown, after.unknown),
            len(truth),
            max_drop,
            tuple(_worse(before, after, max_drop, validation.targets is not None)),
            sha256_of(folder / WEIGHTS),
            {each.name: sha256_of(each) for each in (file, file.with_suffix(".bin"))},
        )
        (draft / Path(INT8_REPORT).name).write_text(json.dumps(report.to_dict(), indent=2), encoding="utf-8")
        if not report.kept:
            raise DiscardDraft
    return report


def _in_fp32(folder: Path, config: ModelConfig) -> Any:
    """The folder's network as an OpenVINO model."""
    from ..network.answering import answering
    from ..network.conversion import to_openvino

    network = config.network.load(read_state(folder / WEIGHTS, config.network)).float()
    return to_openvino(answering(network, apart=True), config.preprocessing)


def _in_int8(nncf: Any, graph: Any, calibration: Batches) -> Any:
    """The same, rounded by the ranges that these images show."""
    from nncf.quantization.advanced_parameters import OverflowFix

    return nncf.quantize(
        graph,
        nncf.Dataset(calibration),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=min(len(calibration), CALIBRATION),
        # Processors without VNNI add products of bytes up in 16 bits, which overflow with weights of eight.
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
    )


def _outputs(network: Any, batches: Batches, classes: int) -> Outputs:
    """Of every image."""
    return Outputs.of(np.concatenate([network.run(crops) for crops in batches]), classes)
