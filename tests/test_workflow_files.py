"""The inference task on videos and folders."""

import json
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
