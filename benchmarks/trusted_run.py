"""What it costs to rely on an answer: whole runs with promises, sets, embeddings and maps, and with none of them.

The network's weights are random, and so is its evidence, of the size that a training writes. Run alone with
`python -m benchmarks trusted_run`.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import time_in_turns
from benchmarks.speed import HD, MAIN, ONE_MEGAPIXEL, boxes, frame, our_run, precisions
from benchmarks.speed_models import LABELS, model_folder
from examples.ikomia_home import use_own_home
from infer_torchvision_resnext.resnext.folder.names import CONFIG
from infer_torchvision_resnext.resnext.trust.calibration import Calibration
from infer_torchvision_resnext.resnext.trust.evidence import Evidence, write_evidence
from infer_torchvision_resnext.resnext.trust.open_set import KnownFeatures

ROUNDS = 15
OBJECTS = 16
VALIDATION, TRAINING, FEATURES = 5000, 2000, 2048

NOTHING = {"calibrated": False, "unknown_sensitivity": 0}
PROMISES = {"unknown_sensitivity": 0.01, "target_precision": 0.9, "coverage": 0.9, "embeddings": True}
WAYS = {"nothing": NOTHING, "promises": PROMISES, "maps": {**NOTHING, "maps": True}, "all": {**PROMISES, "maps": True}}


def main() -> list[dict[str, Any]]:
    """A row for each runtime, precision and kind of frame."""
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other

    folder = _trusted(model_folder(MAIN, int8=True))
    configurations = [("openvino", precision) for precision in precisions(folder)]
    configurations += [("onnxruntime", "fp32"), ("torch", "fp32")]
    photo, objects = (frame(*ONE_MEGAPIXEL), None), (frame(*HD), boxes(OBJECTS, *HD))
    rows = [{"frame": "1 MP", **_compared(folder, photo, *each)} for each in configurations]
    quickest = "bf16" if "bf16" in precisions(folder) else "fp32"
    return [*rows, {"frame": f"{OBJECTS} objects", **_compared(folder, objects, "openvino", quickest)}]


def _compared(folder: Path, seen: tuple[Any, Any], runtime: str, precision: str) -> dict[str, Any]:
    """Args: seen: a frame, and the boxes that a detector finds in it, if there is one."""
    fixed = {"runtime": runtime, "precision": precision}
    times = time_in_turns({name: our_run(folder, *seen, **fixed, **asked) for name, asked in WAYS.items()}, ROUNDS)
    nothing = times["nothing"]
    return {
        "runtime": f"{runtime} {precision}",
        "nothing, ms": str(nothing),
        **{f"{name} / nothing": f"{times[name].over(nothing):.3f}" for name in WAYS if name != "nothing"},
    }


def _trusted(folder: Path) -> Path:
    """The model folder with a temperature and evidence."""
    trusted = folder.with_name(f"{folder.name}-trusted")
    shutil.copytree(folder, trusted, dirs_exist_ok=True)
    config = json.loads((trusted / CONFIG).read_text(encoding="utf-8"))
    measured = dict.fromkeys(("ece_before", "ece_after", "loss_before", "loss_after"), 0.1)
    config["resnext"]["calibration"] = Calibration(temperature=1.2, images=VALIDATION, **measured).model_dump()
    (trusted / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    random = np.random.default_rng(0)
    known = KnownFeatures.of(random.normal(0, 2, (TRAINING, 10)), random.uniform(0, 1, (TRAINING, FEATURES)))
    target = random.integers(0, len(LABELS), VALIDATION)
    probability = random.uniform(0.3, 1, VALIDATION).astype(np.float32)
    evidence = Evidence(
        probability=probability,
        true_probability=probability,
        predicted=target.astype(np.int32),
        target=target.astype(np.int32),
        known_score=random.normal(-100, 10, VALIDATION).astype(np.float32),
        feature_mean=known.mean,
        feature_axes=known.axes,
        feature_scale=np.array([known.scale], np.float32),
    )
    write_evidence(trusted, evidence)
    return trusted
