"""The forms on the host's own widget class, each story in a process of its own, with the real Apply button."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.image_folders import write_two_levels

REPOSITORY = Path(__file__).parents[2]
INFER, TRAIN = "infer_torchvision_resnext", "train_torchvision_resnext"


def installed(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


pytestmark = pytest.mark.skipif(
    not installed("PyQt6").startswith("6.2."), reason="needs PyQt6 6.2, as Ikomia's Qt: make test-studio"
)


def in_studio(story, **given):
    """Run code in a new process; returns what it leaves in `told`."""
    code = f"""
import json, sys
from tools.form_window import FormWindow, QTest, application, leave
given = json.loads(sys.argv[1])
told = {{}}
{story}
print("TOLD", json.dumps(told))
leave()
"""
    command = [sys.executable, "-c", code, json.dumps(given)]
    finished = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, check=False, timeout=300
    )
    told = [line[5:] for line in finished.stdout.splitlines() if line.startswith("TOLD ")]
    assert told, finished.stdout + finished.stderr
    return json.loads(told[0])


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    return str(path)


@pytest.fixture
def dataset(tmp_path):
    return str(write_two_levels(tmp_path / "dataset", {"train": 8, "val": 2}))


@pytest.mark.parametrize(
    ("plugin", "first"),
    [
        (INFER, ["model_name", "weights", "top_k", "confidence_threshold", "region"]),
        (TRAIN, ["model_name", "weights", "epochs", "batch_size", "output_folder"]),
    ],
)
def test_a_newcomer_sees_five_fields_and_finds_the_rest_under_advanced(plugin, first):
    told = in_studio(
        f"""
from {plugin}.parameters import Parameters
window = FormWindow("{plugin}")
seen = lambda: [key for key in Parameters.keys() if window.field(key).isVisibleTo(window.window)]
told["first"] = seen()
window.unfold()
told["hidden"] = sorted(set(Parameters.keys()) - set(seen()))
told["tips"] = [key for key in Parameters.keys() if f"<code>{{key}}</code>" not in window.field(key).parent().toolTip()
                and f"<code>{{key}}</code>" not in window.field(key).toolTip()]
told["old"] = [key for key in ("dataset", "model_path", "model_weight_file") if window.field(key)]
"""
    )
    assert told == {"first": first, "hidden": [], "tips": [], "old": []}


def test_what_is_filled_in_and_applied_is_what_the_inference_runs_with(tiny_folder, picture):
    told = in_studio(
        """
from ikomia.dataprocess.workflow import Workflow
workflow = Workflow()
task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
window = FormWindow("infer_torchvision_resnext", task.get_param_object())
window.type_text("weights", given["model"])
window.type_text("top_k", "2")
window.type_text("confidence_threshold", "0.999")
window.unfold()
window.choose("precision", "fp32")
window.apply()
told["sent"] = window.sent
told["notice"] = window.notice()
told["task"] = dict(task.get_parameters())
workflow.run_on(path=given["picture"])
told["answer"] = task.get_output(4).data["predictions"][0]["answer"]
told["listed"] = len(task.get_output(4).data["predictions"][0]["top_k"])
""",
        model=str(tiny_folder),
        picture=picture,
    )
    (sent,) = told["sent"]
    changed = {"weights": str(tiny_folder), "top_k": "2", "confidence_threshold": "0.999", "precision": "fp32"}
    assert {key: sent[key] for key in changed} == changed
    assert told["task"] == sent
    assert (told["notice"], told["answer"], told["listed"]) == ("", "unknown", 2)


def test_what_is_filled_in_and_applied_is_what_the_training_runs_with(dataset, tmp_path, tiny_folder):
    told = in_studio(
        """
from pathlib import Path
from ikomia import core, dataprocess
from ikomia.dataprocess.registry import ik_registry
task = ik_registry.create_algorithm("train_torchvision_resnext", public_hub=False)
window = FormWindow("train_torchvision_resnext", task.get_param_object())
window.type_text("weights", given["model"])
window.field("feature_extract").click()
window.type_text("epochs", "1")
window.type_text("batch_size", "4")
window.type_text("output_folder", given["output"])
window.unfold()
window.type_text("layers", "1,1")
window.type_text("cardinality", "4")
window.type_text("bottleneck_width", "4")
window.type_text("input_size", "32")
window.type_text("num_workers", "0")
window.choose("precision", "fp32")
window.apply()
told["notice"] = window.notice()
told["sent"] = window.sent
task.set_input(dataprocess.CPathIO(core.IODataType.FOLDER_PATH, given["dataset"]), 0)
task.run()
told["files"] = sorted(path.name for path in Path(task.get_output(0).get_path()).iterdir())
told["epochs"] = len(task.get_output(1).data["history"])
""",
        output=str(tmp_path / "runs"),
        dataset=dataset,
        model=str(tiny_folder),
    )
    assert told["notice"] == ""
    assert told["sent"][0]["layers"] == "1,1"
    assert {"config.json", "model.safetensors"} <= set(told["files"])
    assert told["epochs"] == 1


def test_nothing_is_sent_before_everything_is_right(tmp_path):
    (tmp_path / "file").touch()
    told = in_studio(
        """
window = FormWindow("train_torchvision_resnext")
before = dict(window.form.parameters.get_values())
window.type_text("output_folder", given["file"])
window.unfold()
window.type_text("learning_rate", "fast")
window.choose("optimizer", "sgd")
window.type_text("momentum", "5")
window.type_text("resume", "/nowhere/run")
window.unfold(False)
window.apply()
told["sent"] = list(window.sent)
told["unchanged"] = dict(window.form.parameters.get_values()) == before
told["notice"] = window.notice()
told["unfolded"] = window.field("momentum").isVisibleTo(window.window)
window.type_text("learning_rate", "0.01")
window.type_text("momentum", "0.8")
window.apply()
told["then"] = window.notice()
window.type_text("output_folder", "~/runs")
window.field("resume").setEditText("")
window.apply()
told["last"] = [window.notice(), len(window.sent), window.sent[0]["momentum"]]
""",
        file=str(tmp_path / "file"),
    )
    assert told["sent"] == []
    assert told["unchanged"]
    assert told["unfolded"]
    for sentence in (
        "Learning rate: must be a number from 0 to 100",
        "Momentum: must be a number from 0 to 0.9999",
        "is a file, not a folder",
        "Resume: there is no such folder: /nowhere/run",
    ):
        assert sentence in told["notice"]
    assert "Momentum" not in told["then"]
    assert "Resume: there is no such folder" in told["then"]
    assert told["last"] == ["", 1, "0.8"]


def test_a_field_without_effect_is_disabled_and_says_why():
    told = in_studio(
        """
window = FormWindow("infer_torchvision_resnext")
look = lambda key: [window.field(key).isEnabled(), window.field(key).parent().toolTip() + window.field(key).toolTip()]
told["imagenet"] = look("class_file")
told["placeholder"] = window.field("class_file").placeholderText()
window.type_text("weights", "own.pth")
told["file"] = look("class_file")
window.type_text("weights", "models/digits")
told["folder"] = look("model_name")
window.choose("region", "image")
told["image"] = look("object_margin")
precision = window.field("precision")
fp16 = lambda: [precision.model().item(precision.findText("fp16")).isEnabled(),
                precision.model().item(precision.findText("fp16")).toolTip()]
told["auto"] = fp16()
from infer_torchvision_resnext.resnext.machine.devices import gpu_is_there
told["there is a GPU"] = gpu_is_there()
window.type_text("device", "cuda")
told["gpu"] = fp16()
runtime = window.field("runtime")
told["openvino"] = runtime.model().item(runtime.findText("openvino")).isEnabled()
window.choose("precision", "fp16")
told["guard"] = look("guard_tolerance")[0]
window.choose("runtime", "torch")
told["guard of what is set"] = look("guard_tolerance")
window.type_text("device", "cpu")
told["cpu"] = fp16()
window.type_text("weights", "DEFAULT")
window.apply()
told["notice"] = [window.notice(), window.sent]
"""
    )
    assert not told["imagenet"][0]
    assert "bring ImageNet&#x27;s labels" in told["imagenet"][1]
    assert told["placeholder"] == "torchvision's weights bring ImageNet's labels"
    assert told["file"][0]
    assert not told["folder"][0]
    assert "a model folder brings its own architecture" in told["folder"][1]
    assert not told["image"][0]
    assert told["auto"][0] == told["there is a GPU"]
    assert told["gpu"][0]
    assert not told["openvino"]
    assert told["guard"]
    assert not told["guard of what is set"][0]
    assert "nothing is chosen by auto" in told["guard of what is set"][1]
    assert told["cpu"] == [False, "<p>fp16 needs a GPU</p>"]
    assert "Precision: fp16 needs a GPU" in told["notice"][0]
    assert told["notice"][1] == []


@pytest.mark.parametrize(
    ("plugin", "values"),
    [
        (INFER, {"model_name": "resnext101_64x4d", "confidence_threshold": "1.23456789e-07", "device": "cuda:3"}),
        (INFER, {"weights": "~/models/ä b", "class_file": "labels.txt", "region": "image", "top_k": "0"}),
        (TRAIN, {"learning_rate": "0.0123456789", "layers": "1,2", "weights": "none", "seed": str(2**31 - 1)}),
        (TRAIN, {"use_pretrained": "False", "horizontal_flip": "False", "num_workers": "-1", "resume": "auto"}),
    ],
)
def test_python_and_form_say_the_same(plugin, values):
    told = in_studio(
        f"""
from ikomia.dataprocess.registry import ik_registry
task = ik_registry.create_algorithm("{plugin}", public_hub=False)
window = FormWindow("{plugin}", task.get_param_object())
task.set_parameters(given["values"])
window.parameters_changed()
told["shown"] = window.form._texts()
told["python"] = dict(task.get_parameters())
""",
        values=values,
    )
    python = {
        key: value for key, value in told["python"].items() if key not in ("dataset", "model_path", "model_weight_file")
    }
    assert told["shown"] == python
    assert {key: python[key] for key in values} == values


def test_a_workflow_of_the_earlier_plugin_is_shown_in_our_words(tmp_path):
    told = in_studio(
        """
from ikomia.dataprocess.registry import ik_registry
task = ik_registry.create_algorithm("infer_torchvision_resnext", public_hub=False)
task.set_parameters({"dataset": "Custom", "model_path": given["path"], "class_file": "labels.txt"})
window = FormWindow("infer_torchvision_resnext", task.get_param_object())
told["shown"] = [window.form._texts()[key] for key in ("weights", "class_file", "top_k")]
""",
        path=str(tmp_path / "own.pth"),
    )
    assert told["shown"] == [str(tmp_path / "own.pth"), "labels.txt", "0"]


def test_refused_values_of_a_saved_workflow_are_shown_and_can_be_put_right(tmp_path):
    refused = {
        "model_name": "resnet18",
        "input_size": "8",
        "epochs": "many",
        "optimizer": "lion",
        "horizontal_flip": "perhaps",
        "momentum": "5",
    }
    told = in_studio(
        """
from ikomia.dataprocess.workflow import Workflow
from tests.old_workflows import write_old_workflow
from pathlib import Path
workflow = Workflow()
name = "train_torchvision_resnext"
workflow.load(write_old_workflow(Path(given["file"]), name, {**given["refused"], "batch_size": "4"}, ["FOLDER_PATH"]))
task = workflow.find_task(name, 0)
window = FormWindow(name, task.get_param_object())
look = lambda: {key: window.form._texts()[key] for key in given["refused"]}
told["shown"], told["notice"], told["valid"] = look(), window.notice(), window.form._texts()["batch_size"]
told["number"] = window.field("input_size").text()
told["unfolded"] = window.field("momentum").isVisibleTo(window.window)
window.picture(given["picture"], 560, 900)
window.apply()
told["sent"] = list(window.sent)
told["kept"] = {key: task.get_parameters()[key] for key in given["refused"]}
window.type_text("model_name", "resnext50")
window.field("input_size").setValue(32)
window.field("epochs").setValue(3)
window.choose("optimizer", "sgd")
window.field("horizontal_flip").click()
window.apply()
told["then"] = window.notice()
window.type_text("momentum", "0.8")
window.apply()
told["last"] = [window.notice(), {key: task.get_parameters()[key] for key in given["refused"]}]
told["optimizers"] = window.field("optimizer").count()
""",
        file=str(tmp_path / "saved.json"),
        picture=str(tmp_path / "refused.png"),
        refused=refused,
    )
    assert told["shown"] == told["kept"] == refused
    assert (told["number"], told["valid"], told["unfolded"], told["sent"]) == ("8", "4", True, [])
    assert told["notice"].startswith("<b>These saved values cannot be used</b>")
    for title in ("Model:", "Input size:", "Epochs:", "Optimizer:", "Mirror:", "Momentum:"):
        assert title in told["notice"]
    assert "Momentum: must be" in told["then"]
    assert "Epochs" not in told["then"]
    right = {"model_name": "resnext50", "input_size": "32", "epochs": "3", "optimizer": "sgd", "momentum": "0.8"}
    # A click on what is neither on nor off turns it on.
    assert told["last"] == ["", {**right, "horizontal_flip": "True"}]


def test_paths_can_be_picked_and_a_canceled_dialog_changes_nothing(tmp_path):
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    told = in_studio(
        """
from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QDialogButtonBox, QFileDialog, QLineEdit, QToolButton
window = FormWindow("infer_torchvision_resnext")
window.type_text("weights", "own.pth")
window.unfold()
def answer(path):
    (dialog,) = [one for one in application.topLevelWidgets() if isinstance(one, QFileDialog) and one.isVisible()]
    if path:
        dialog.findChild(QLineEdit).setText(path)
        dialog.findChild(QDialogButtonBox).buttons()[0].click()
    else:
        dialog.reject()
def pick(key, path):
    QTimer.singleShot(300, lambda: answer(path))
    window.field(key).parent().findChild(QToolButton).click()
pick("class_file", given["file"])
told["picked"] = window.field("class_file").text()
pick("class_file", "")
told["canceled"] = window.field("class_file").text()
choices = window.field("weights").parent().findChild(QToolButton).menu().actions()
told["choices"] = [action.text() for action in choices]
QTimer.singleShot(300, lambda: answer(given["folder"]))
choices[1].trigger()
told["folder"] = window.field("weights").currentText()
""",
        file=str(tmp_path / "labels.txt"),
        folder=str(tmp_path),
    )
    assert told["picked"] == told["canceled"] == str(tmp_path / "labels.txt")
    assert told["choices"] == ["Choose a file…", "Choose a folder…"]
    assert told["folder"] == str(tmp_path)


def test_the_wheel_scrolls_past_a_field_and_defaults_come_back():
    told = in_studio(
        """
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
window = FormWindow("infer_torchvision_resnext")
def wheel(field):
    here = QPointF(5, 5)
    event = QWheelEvent(here, field.mapToGlobal(here), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
                        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    application.sendEvent(field, event)
for key in ("top_k", "region"):
    window.field(key).clearFocus()
    wheel(window.field(key))
told["after"] = [window.form._texts()[key] for key in ("top_k", "region")]
window.type_text("top_k", "9")
from PyQt6.QtWidgets import QPushButton
window.window.findChild(QPushButton, "defaults").click()
told["defaults"] = [window.form._texts()["top_k"], window.sent]
"""
    )
    assert told == {"after": ["5", "auto"], "defaults": ["5", []]}
