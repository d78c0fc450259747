"""The inference task in real workflows of the real Ikomia: a whole image and its answer."""

import pytest

from infer_torchvision_resnext.drawing.annotation import color_of
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from tests.inference_output import result
from tests.tiny_model import ARCHITECTURE, PREPROCESSING

pytestmark = pytest.mark.processor


def test_the_readmes_main_job(workflow, imagenet_cache, photo_path):
    wf, task = workflow
    task.set_parameters({"model_name": "resnext50", "input_size": "224"})
    wf.run_on(path=photo_path)
    rows = task.get_whole_image_results()
    assert len(rows) == 5
    values = [float(value) for _, value in rows]
    assert values == sorted(values, reverse=True)
    assert task.get_image_with_graphics().shape == (427, 640, 3)
    output = result(task)
    assert output["model"] == {
        "architecture": "resnext50_32x4d",
        "weights": "IMAGENET1K_V2",
        "num_classes": 1000,
        "resize_size": 232,
        "crop_size": 224,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "value_range": "auto",
    }
    assert output["image"] == {"width": 640, "height": 427}
    (prediction,) = output["predictions"]
    assert prediction["answer"] == rows[0][0] == prediction["top_k"][0]["label"]
    assert [row["label"] for row in prediction["top_k"]] == [label for label, _ in rows]
    assert prediction["probability"] == pytest.approx(values[0], rel=1e-3)
    assert output["timings_ms"].keys() == {"load", "preprocess", "forward", "total"}
    assert all(value >= 0 for value in output["timings_ms"].values())


def test_the_picture_carries_the_answer_and_its_color(tiny, photo_path):
    wf, task = tiny
    wf.run_on(path=photo_path)
    (prediction,) = result(task)["predictions"]
    (text,) = task.get_output(2).get_items()
    assert text.text == f"{prediction['answer']} {100 * prediction['probability']:.1f} %"
    picture = task.get_image_with_graphics()
    color = color_of(prediction["top_k"][0]["index"])
    assert (picture == color).all(axis=2).sum() > 1000


def test_results_of_earlier_runs_stay_whole(tiny, photos):
    wf, task = tiny
    kept = []
    for photo in photos:
        wf.run_on(array=photo)
        kept.append(task.get_output(4).data)
    assert len(kept[0]["predictions"]) == len(kept[1]["predictions"]) == 1
    assert kept[0]["predictions"] != kept[1]["predictions"]


def test_unknown_brings_no_probability_into_table_and_caption(tiny, photos):
    wf, task = tiny
    task.set_parameters({"top_k": 0, "confidence_threshold": 1})
    wf.run_on(array=photos[0])
    (prediction,) = result(task)["predictions"]
    first, *candidates = task.get_whole_image_results()
    assert first == ("unknown", "")
    assert [label for label, _ in candidates] == [row["label"] for row in prediction["top_k"]]
    assert sum(float(value) for _, value in candidates) == pytest.approx(1, abs=1e-3)
    (text,) = task.get_output(2).get_items()
    best = prediction["top_k"][0]
    assert text.text == f"unknown: {best['label']}? {100 * best['probability']:.0f} %"


def test_a_class_called_unknown_is_told_from_the_answer_in_every_output(workflow, tiny_state, photos, tmp_path):
    """Training refuses such a class; a folder of an earlier version may have one."""
    config = ModelConfig.of(ARCHITECTURE, ("unknown", "bee", "cat"), PREPROCESSING)
    bias = tiny_state["fc.bias"].clone()
    bias[0] += 99
    write_model_folder(tmp_path / "old", config, {**tiny_state, "fc.bias": bias})
    wf, task = workflow
    task.set_parameters({"weights": str(tmp_path / "old"), "device": "cpu", "maps": True, "map_class": "unknown"})
    wf.run_on(array=photos[0])
    output = result(task)
    (prediction,) = output["predictions"]
    label = "unknown (class)"
    assert (prediction["answer"], prediction["doubt"], prediction["top_k"][0]["label"]) == (label, None, label)
    assert prediction["map"]["label"] == label
    assert task.get_whole_image_results()[0] == (label, "1")
    assert task.get_output(2).get_items()[0].text == f"{label} 100.0 %"
    assert output["notes"] == [
        "the model's class 'unknown' is called 'unknown (class)' in all results: 'unknown' is the answer that is no "
        "class"
    ]
