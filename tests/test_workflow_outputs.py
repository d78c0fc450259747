"""Outputs of both tasks as JSON and on the screen, and the ways to give the workflow an image."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ikomia.dataprocess.workflow import Workflow
from PIL import Image

from infer_torchvision_resnext.infer_torchvision_resnext_process import REPEATED
from tests.inference_output import result
from tests.test_workflow_objects import Detector, behind  # noqa: F401  (a fixture)


@pytest.fixture
def training():
    return Workflow().add_task(name="train_torchvision_resnext")


def read_back(task):
    """Each output as JSON, before and after it was read from that; both must be the same."""
    texts = [output.to_json() for output in task.get_outputs()]
    for output, text in zip(task.get_outputs(), texts, strict=True):
        output.from_json(text)
    return texts, [output.to_json() for output in task.get_outputs()]


def test_every_output_of_an_image_becomes_json_and_comes_back(tiny, photos):
    wf, task = tiny
    before, again = read_back(task)
    assert before == again
    for maps in (False, True):
        task.set_parameters({"maps": maps, "top_k": 0})
        wf.run_on(array=photos[0])
        table, heat = task.get_whole_image_results(), task.get_output(5).get_image()
        (_, *texts), (_, *texts_again) = read_back(task)
        assert texts == texts_again
        assert task.get_whole_image_results() == table
        assert len(dict(table)) == 3
        assert np.array_equal(task.get_output(5).get_image(), heat)
        assert task.get_output(0).get_image().shape == photos[0].shape
    assert task.get_output(4).name == "Results"
    indented = task.get_output(5).to_json(["json_format", "indented"])
    assert json.loads(indented) == json.loads(task.get_output(5).to_json())


def test_every_output_of_objects_becomes_json_and_comes_back(behind, photos):  # noqa: F811
    wf, task = behind(Detector([(3, (10, 10, 50, 50)), (5, (100, 10, 80, 50))]))
    wf.run_on(array=photos[0])
    before, again = read_back(task)
    assert before[1:] == again[1:]
    assert [item.id for item in task.get_output(1).get_objects()] == [3, 5]


def test_both_outputs_of_a_training_become_json_and_come_back(training, tmp_path):
    folder, results = training.get_outputs()
    assert read_back(training) == (['{"path": ""}', "{}"], ['{"path": ""}', "{}"])
    folder.set_path(str(tmp_path))
    results.data = {"notes": ["$ in a label"]}
    texts = [output.to_json() for output in (folder, results)]
    folder.set_path("")
    results.clear_data()
    for output, text in zip((folder, results), texts, strict=True):
        output.from_json(text)
    assert (folder.get_path(), results.data) == (str(tmp_path), {"notes": ["$ in a label"]})
    assert results.name == "Results"


def test_every_output_and_both_tasks_can_be_displayed(displayed, tiny, photos, training, caplog):
    wf, task = tiny
    task.set_parameters({"maps": True})
    wf.run_on(array=photos[0])
    shown = displayed.texts(task.get_output(4))
    assert '"answer": ' in shown
    assert "more lines" in shown
    for output in (*task.get_outputs(), task, task.get_image_with_graphics()):
        displayed.display(output)
    assert displayed.pictures[-1].size == (640, 427)
    folder, results = training.get_outputs()
    folder.set_path("models/$1 and $2")
    results.data = {"notes": ["$a$ in a label"]}
    assert displayed.texts(folder) == "models/$1 and $2"
    assert '"$a$ in a label"' in displayed.texts(results)
    displayed.display(training)
    assert "No display function" not in caplog.text


def test_plugins_import_nothing_that_displays_and_its_viewers_come_with_it():
    code = """
import sys
import ikomia
from ikomia.dataprocess.workflow import Workflow
from ikomia.dataprocess.io import DataDictIO
tasks = [Workflow().add_task(name=name) for name in ("infer_torchvision_resnext", "train_torchvision_resnext")]
assert "matplotlib" not in sys.modules and "ikomia.utils.displayIO" not in sys.modules
from ikomia.utils.displayIO import display
outputs = [output for task in tasks for output in task.get_outputs()]
assert all(display.dispatch(type(output)) is not display.dispatch(object) for output in outputs)
assert not [finder for finder in sys.meta_path if type(finder).__name__ == "Watcher"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_an_image_can_be_an_address(tiny, served, photo_path):
    wf, task = tiny
    folder, address = served
    shutil.copy(photo_path, folder / "photo.jpg")
    wf.run_on(url=f"{address}/photo.jpg")
    there = result(task)["predictions"]
    wf.run_on(path=photo_path)
    assert there == result(task)["predictions"]


def test_a_note_says_when_the_host_repeats_an_image_instead_of_a_folders(tiny, photos, tmp_path):
    """That is the host's fault: it adds the folder as an input, and the old image stays the first."""
    wf, task = tiny
    names = ("a.png", "b.png", "c.png")
    (tmp_path / "folder").mkdir()
    for name in names:
        Image.fromarray(photos[0][:40, :40]).save(tmp_path / "folder" / name)
    photo = tmp_path / "alone.png"
    Image.fromarray(photos[1][:40, :40]).save(photo)
    wf.run_on(folder=str(tmp_path / "folder"))
    assert result(task)["file"].endswith(names)
    assert result(task)["notes"] == []
    wf.run_on(path=str(photo))
    assert result(task)["notes"] == []
    wf.run_on(folder=str(tmp_path / "folder"))
    assert (result(task)["file"], result(task)["notes"]) == (str(photo), [REPEATED])
    wf.clear_inputs()
    wf.run_on(folder=str(tmp_path / "folder"))
    assert result(task)["file"].endswith(names)
    assert result(task)["notes"] == []
