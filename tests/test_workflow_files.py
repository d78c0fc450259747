"""The inference task on videos and folders."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from ikomia.dataprocess.workflow import Workflow
from PIL import Image

from tests.inference_output import NAME, result

HOME = Path.home()


@pytest.fixture
def video(tmp_path, photos):
    """Twelve frames of 160 x 120, the first six dark."""
    import cv2

    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for index in range(12):
        writer.write(np.full((120, 160, 3), 20 if index < 6 else 230, np.uint8))
    writer.release()
    return path


def test_a_video_is_classified_frame_by_frame(tiny, video):
    wf, task = tiny
    answers = []
    classify = task._classifier.classify
    task._classifier.classify = lambda images: answers.append(classify(images)) or answers[-1]
    wf.run_on(path=video)
    assert len(answers) == 12
    assert answers[0] == answers[5]
    assert answers[6] == answers[11]
    assert answers[0] != answers[6]
    assert result(task)["image"] == {"width": 160, "height": 120}


def test_a_folder_is_classified_file_by_file_and_saved(tiny_folder, photos, tmp_path):
    for index, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("no image")
    wf = Workflow("a folder of photos")
    task = wf.add_task(name=NAME, auto_connect=True)
    task.set_parameters({"weights": str(tiny_folder)})
    wf.run_on(folder=str(tmp_path))
    assert len(task.get_whole_image_results()) == 3
    saved = sorted((HOME / "Ikomia" / "Workflows" / wf.name).rglob("*_results.json"))
    assert len(saved) == 2
    for path in saved:
        (prediction,) = json.loads(path.read_text(encoding="utf-8"))["predictions"]
        assert prediction["answer"] in ("ant", "bee", "cat")


def test_output_4_names_the_file_it_speaks_of(tiny, photo_path, photos):
    wf, task = tiny
    wf.run_on(path=photo_path)
    assert task.get_output(4).data["file"] == photo_path
    wf.run_on(array=photos[0])
    assert task.get_output(4).data["file"] == ""


def test_a_photo_cut_short_is_refused_as_in_training(tiny, photo_path, tmp_path):
    """The host fills the rest with gray. Of a PNG it says itself that it is damaged."""
    wf, task = tiny
    file = tmp_path / "photo.jpg"
    content = Path(photo_path).read_bytes()
    file.write_bytes(content)
    wf.run_on(path=str(file))
    assert task.get_output(4).data["predictions"]
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(RuntimeError, match=r"photo\.jpg: the file is cut short: fetch or save it again"):
        wf.run_on(path=str(file))
    assert not task.get_output(4).data


def test_the_terminal_is_told_what_answers_and_each_note_once(tiny, photo_path, caplog, tmp_path, tiny_folder):
    wf, task = tiny
    run = tmp_path / "a run"
    shutil.copytree(tiny_folder, run / "model")
    task.set_parameters({"weights": str(run), "precision": "fp32"})
    with caplog.at_level(logging.INFO, "ikomia"):
        for _ in range(3):
            wf.run_on(path=photo_path)
    told = [record.getMessage() for record in caplog.records if record.name == "ikomia.infer_torchvision_resnext"]
    name = task.get_output(4).data["runtime"]["name"]
    note = f"weights = '{run}' is the folder of a training run: its model/ is used"
    assert told == [
        f"resnext8_4x4d (layers 1,1) with {run}/model, 3 classes, in {name} on CPU in fp32",
        note,
    ]
    assert task.get_output(4).data["notes"] == [note]
