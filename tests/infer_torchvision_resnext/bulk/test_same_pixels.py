"""The task, the table of files and the table of a video answer alike, whatever is set."""

import numpy as np
import pytest
from PIL import Image

from examples.digits import training_and_held_out
from infer_torchvision_resnext.bulk.job import classify_all
from infer_torchvision_resnext.parameters.task import Parameters
from tests.bulk_jobs import SETTINGS, rows_of
from tests.inference_output import result

CHANGES_PIXELS = {
    "value_range": ("auto", "minmax", "0,128", "40,200"),
    "input_size": ("0", "16", "48"),
}
"""Parameters by which the network sees something else, and values to try."""

CHANGES_NO_PIXELS = {
    *("model_name", "weights", "class_file", "decide_by", "top_k", "confidence_threshold", "calibrated", "coverage"),
    *(
        "unknown_sensitivity",
        "target_precision",
        "target_precision_per_class",
        "embeddings",
        "maps",
        "map_class",
        "drift_window",
    ),
    *("device", "precision", "runtime", "guard_tolerance", "batch_size", "threads"),
    # of objects, which a table has not
    *("region", "object_margin", "track"),
}


def test_every_parameter_is_one_or_the_other():
    assert set(Parameters.model_fields) == {*CHANGES_PIXELS, *CHANGES_NO_PIXELS}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Dark digits as PNG files and as the frames of a video without loss."""
    import cv2

    folder = tmp_path_factory.mktemp("frames")
    frames = (training_and_held_out()[1].images[:6] * 0.6).astype(np.uint8)
    height, width = frames[0].shape[:2]
    video = folder / "digits.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"PNG "), 25, (width, height))
    (folder / "files").mkdir()
    for number, frame in enumerate(frames):
        rgb = frame if frame.ndim == 3 else np.dstack([frame] * 3)
        Image.fromarray(rgb).save(folder / "files" / f"{number}.png")
        writer.write(rgb[..., ::-1].copy())
    writer.release()
    return folder


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in CHANGES_PIXELS.items() for value in values])
def test_what_changes_pixels_changes_them_alike(key, value, digits, workflow, tmp_path):
    settings = {**SETTINGS, "runtime": "torch", "unknown_sensitivity": 0, "top_k": 0, key: value}
    tables = {}
    for name in ("files", "digits.avi"):
        classify_all(digits / name, tmp_path / name, settings, form="csv", workers=1, cache_folder=None)
        tables[name] = rows_of(tmp_path / name)
        assert [row["error"] for row in tables[name]] == [None] * 6
    wf, task = workflow
    task.set_parameters(settings)
    for number, (of_file, of_frame) in enumerate(zip(*tables.values(), strict=True)):
        wf.run_on(path=str(digits / "files" / f"{number}.png"))
        expected = {each["label"]: each["probability"] for each in result(task)["predictions"][0]["top_k"]}
        for row in (of_file, of_frame):
            probabilities = dict(zip(row["labels"], map(float, row["probabilities"]), strict=True))
            assert probabilities == pytest.approx(expected, abs=1e-5)
