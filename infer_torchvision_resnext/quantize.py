"""Post-training quantisation: a model folder gains `openvino/int8.xml`, if that costs little enough accuracy.

`python -m infer_torchvision_resnext.quantize MODEL_FOLDER IMAGES` calibrates on a folder of the user's own images.
NNCF is needed for this only, not for running the result. int8 is never chosen by `auto`; it must be asked for with
`precision = int8`.
"""

import argparse
import contextlib
import importlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import Cache
from .parameters import Parameters
from .resnext.image_files import SUFFIXES, read_image
from .resnext.images import ImageError, RGBImage
from .weights import Model, load_model

FOLDER, GRAPH, REPORT = "openvino", "int8.xml", "int8.json"

CALIBRATION = 300
"""Images that ranges of activations are taken from; more change nothing."""

MAX_DROP = 0.01


class QuantisationError(RuntimeError):
    """There is no quantised model; the message says why and what to do."""


@dataclass(frozen=True)
class Quantised:
    """What quantisation cost.

    Attributes:
        fp32_accuracy: share of right answers in fp32; 1 where the true classes are unknown, and fp32's count as such.
        int8_accuracy: share of right answers in int8, on the same images.
        images: how many these were.
        kept: whether the drop was small enough, and the model folder now holds the quantised model.
        weights_sha256: of the weights that were quantised.
    """

    fp32_accuracy: float
    int8_accuracy: float
    images: int
    kept: bool
    weights_sha256: str

    def __str__(self) -> str:
        verdict = "kept" if self.kept else "not kept"
        return f"fp32 {self.fp32_accuracy:.2%}, int8 {self.int8_accuracy:.2%} right on {self.images} images: {verdict}"


def quantise(
    folder: Path,
    calibration: NDArray[np.uint8],
    validation: NDArray[np.uint8],
    targets: Sequence[int] | None = None,
    max_drop: float = MAX_DROP,
) -> Quantised:
    """Quantise a model folder to int8, and keep the result within the accuracy drop.

    Args:
        folder: a whole model folder (or the draft of one); gains or replaces `openvino/`.
        calibration: crops to take ranges from, RGB, uint8, N x S x S x 3, as `Preprocessing.crop` gives them.
        validation: other such crops, to measure accuracy on.
        targets: their true classes; None = what the network says in fp32.
        max_drop: how much lower accuracy in int8 may be, as a fraction.

    Raises:
        QuantisationError: NNCF or OpenVINO is not installed, or there are no images.
        WeightsError: the folder cannot be read.
    """
    if not len(calibration) or not len(validation):
        raise QuantisationError(
            f"{len(calibration)} images to calibrate on, {len(validation)} to measure on: need some"
        )
    try:
        import nncf
        import openvino as ov
    except ImportError as error:
        raise QuantisationError(
            f"quantisation needs nncf and openvino: {error}; run pip install nncf openvino"
        ) from error
    from .runtimes.openvino_graph import build_graph
    from .runtimes.openvino_runtime import OpenVINORuntime

    cache = Cache()
    model = load_model(Parameters(weights=str(folder)), cache)
    graph = build_graph(model.architecture, model.arrays(), model.preprocessing)
    batches = nncf.Dataset([crop[None] for crop in calibration[:CALIBRATION]])
    draft = folder / f".{FOLDER}-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        quantised = nncf.quantize(
            graph, batches, preset=nncf.QuantizationPreset.MIXED, subset_size=min(len(calibration), CALIBRATION)
        )
        ov.save_model(quantised, draft / GRAPH, compress_to_fp16=False)
        exact = _answers(OpenVINORuntime.load(model, "fp32", 0, cache), validation)
        rounded = _answers(OpenVINORuntime.of_file(draft / GRAPH, "int8", 0), validation)
        truth = exact if targets is None else np.asarray(targets)
        before, after = float((exact == truth).mean()), float((rounded == truth).mean())
        report = Quantised(before, after, len(validation), after >= before - max_drop, cache.digest(model.file))
        (draft / REPORT).write_text(json.dumps(asdict(report), indent=2), encoding="utf-8")
        if report.kept:
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
            draft.rename(folder / FOLDER)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return report


def _answers(runtime: Any, crops: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(runtime.run(crops).argmax(axis=1))


def crops_of(model: Model, files: Sequence[Path]) -> NDArray[np.uint8]:
    """The files' crops as the model wants them. Raises: ImageError, with the file's name."""
    return np.stack([model.preprocessing.crop(_read(file)) for file in files])


def _read(file: Path) -> RGBImage:
    try:
        return read_image(file)
    except ImageError as error:
        raise ImageError(f"{file}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="infer_torchvision_resnext.quantize", description=__doc__)
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("images", type=Path, help="a folder; sub-folders named as the labels give the true classes")
    parser.add_argument("--max-drop", type=float, default=MAX_DROP, help="accuracy that int8 may cost, as a fraction")
    given = parser.parse_args(arguments)
    model = load_model(Parameters(weights=str(given.model_folder)), Cache())
    files = sorted(path for path in given.images.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        parser.error(f"{given.images} holds {len(files)} images: at least two are needed")
    # Every second image, so that both parts hold all classes.
    calibration, validation = files[::2], files[1::2]
    known = all(file.parent.name in model.labels for file in validation)
    targets = [model.labels.index(file.parent.name) for file in validation] if known else None
    report = quantise(
        given.model_folder, crops_of(model, calibration), crops_of(model, validation), targets, given.max_drop
    )
    print(report)
    return 0 if report.kept else 1


if __name__ == "__main__":
    # Ikomia brings the OpenCV that images are read with; without Ikomia another one serves.
    os.environ.setdefault("IKOMIA_AUTO_COMPLETION", "False")
    with contextlib.suppress(ImportError):
        importlib.import_module("ikomia")
    sys.exit(main())
