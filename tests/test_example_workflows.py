"""The workflow files of examples/workflows open, hold what they promise and run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ikomia.dataprocess import workflow as host
from PIL import Image

from examples.digits import digit_at, sheet_of, training_and_held_out

FOLDER = Path(__file__).parents[1] / "examples" / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
DIGITS = str(FOLDER.parent / "models" / "digits")
INFER = "infer_torchvision_resnext"


def opened(name):
    workflow = host.load(str(FOLDER / name))
    return workflow, {workflow.get_task(number).name: workflow.get_task(number) for number in workflow.get_task_ids()}


def test_there_is_one_for_each_way_to_use_the_plugins():
    assert [path.name for path in FILES] == [
        "classify_an_image.json",
        "detect_then_classify.json",
        "train_then_classify.json",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_no_path_and_exposes_parameters_and_outputs(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'"(/|[A-Za-z]:[\\/]|file:)', text)
    saved = json.loads(text)
    assert saved["exposed_parameters"]
    assert saved["exposed_outputs"]
    workflow, _ = opened(path.name)
    assert set(workflow.get_exposed_parameters()) == {one["name"] for one in saved["exposed_parameters"]}


def test_an_image_is_classified(tiny_folder, photo_path):
    workflow, tasks = opened("classify_an_image.json")
    workflow.set_exposed_parameter("weights", str(tiny_folder))
    workflow.set_exposed_parameter("top_k", "2")
    workflow.run_on(path=photo_path)
    (prediction,) = tasks[INFER].get_output(4).data["predictions"]
    assert len(prediction["top_k"]) == 2
    assert prediction["answer"] in ("ant", "bee", "cat")


def test_what_is_detected_is_classified():
    sheet, digits = sheet_of(training_and_held_out()[1], rows=2, columns=3)
    workflow, tasks = opened("detect_then_classify.json")
    workflow.set_exposed_parameter("weights", DIGITS)
    workflow.set_exposed_parameter("object_margin", "0.1")
    # Enlarged and cut out, some are unlike the small files that the model learned from.
    tasks[INFER].set_parameters({"unknown_sensitivity": "0"})
    workflow.run_on(array=sheet)
    found = tasks[INFER].get_output(4).data["predictions"]
    assert len(found) == 6
    assert [row["answer"] for row in found] == [str(digit_at(digits, row["box_xywh"])) for row in found]


def test_what_is_trained_classifies(tmp_path, tiny_folder):
    generator = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "dataset" / label
        folder.mkdir(parents=True)
        for index in range(10):
            pixels = generator.integers(level - 30, level + 30, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    workflow, tasks = opened("train_then_classify.json")
    # Only the classifier of a network that a test can train.
    tasks["train_torchvision_resnext"].set_parameters(
        {
            "layers": "1,1",
            "cardinality": 4,
            "bottleneck_width": 4,
            "weights": str(tiny_folder),
            "feature_extract": True,
            "precision": "fp32",
            "num_workers": 0,
        }
    )
    for name, value in {"epochs": 2, "batch_size": 8, "input_size": 16, "output_folder": tmp_path / "runs"}.items():
        workflow.set_exposed_parameter(name, str(value))
    workflow.set_image_input(array=np.full((32, 32, 3), 200, np.uint8), index=0)
    workflow.set_directory_input(folder=str(tmp_path / "dataset"), index=1)
    workflow.run()
    results = tasks[INFER].get_output(4).data
    model = tasks["train_torchvision_resnext"].get_output(0).get_path()
    assert results["model"]["weights"] == model
    assert {row["label"] for row in results["predictions"][0]["top_k"]} == {"dark", "light"}
