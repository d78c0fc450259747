"""Where the inference task says that it looked, with a network that sees nothing but brightness."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ikomia.dataprocess.workflow import Workflow
from PIL import Image

from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from tests.inference_output import NAME, result
from tests.test_workflow_objects import Detector
from tests.tiny_model import ARCHITECTURE

MAP = 5


@pytest.fixture(scope="module")
def brightness(tmp_path_factory):
    """A model folder: the logit of `bright` is 10 times the mean brightness, that of `dark` is 1.

    Of each block only the shortcut is left, which hands the first channel on: cell n, from 0 to 3, is the brightest of
    the pixels 8 n - 2 to 8 n + 2 of the square, 32 x 32 in the middle of 36.
    """
    state = {
        key: torch.ones_like(tensor) if key.endswith("running_var") else torch.zeros_like(tensor)
        for key, tensor in ARCHITECTURE.build(2).state_dict().items()
    }
    state["conv1.weight"][0, :, 3, 3] = 1 / 3
    state["bn1.weight"][0] = 1
    for block in ("layer1.0", "layer2.0"):
        state[f"{block}.downsample.0.weight"][0, 0] = 1
        state[f"{block}.downsample.1.weight"][0] = 1
    state["fc.weight"][0, 0] = 10
    state["fc.bias"][1] = 1
    folder = tmp_path_factory.mktemp("models") / "brightness"
    preprocessing = Preprocessing(36, 32, (0, 0, 0), (1, 1, 1))
    write_model_folder(folder, ModelConfig.of(ARCHITECTURE, ("bright", "dark"), preprocessing), state)
    return folder


@pytest.fixture
def looking(workflow, brightness):
    wf, task = workflow
    task.set_parameters({"weights": str(brightness), "device": "cpu", "maps": "True"})
    return wf, task


def frame_with(place, size, shape=(120, 160)):
    """A dark frame with a white square around a pixel."""
    row, column = place
    frame = np.full((*shape, 3), 20, np.uint8)
    frame[row - size // 2 : row + size // 2, column - size // 2 : column + size // 2] = 255
    return frame


def hottest(heat):
    """Row and column of the middle of what is largest."""
    return np.argwhere(heat == heat.max()).mean(axis=0)


@pytest.mark.parametrize("runtime", ["torch", "openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("shape", "place", "size"),
    [
        # A pixel of the square is 3.33 of the frame, and the first one is at row 2 and column 8 of 36 x 48.
        ((120, 160), (35, 55), 20),
        ((120, 160), (62, 82), 20),
        # 5.56, row 42 and column 2 of 115 x 36.
        ((640, 200), (281, 103), 30),
        # 1.78, row 2 and column 518 of 36 x 1068.
        ((64, 1900), (19, 951), 10),
    ],
)
def test_the_map_is_largest_at_what_decides(looking, runtime, shape, place, size):
    pytest.importorskip(runtime)
    wf, task = looking
    task.set_parameters({"runtime": runtime, "precision": "fp32"})
    wf.run_on(array=frame_with(place, size, shape))
    heat = task.get_output(MAP).get_image()
    assert (heat.shape, heat.dtype) == (shape, np.uint8)
    assert heat.max() > 240
    assert np.abs(hottest(heat) - place).max() <= min(shape) / 36
    (prediction,) = result(task)["predictions"]
    found = prediction["map"]
    assert (found["label"], found["index"], found["bias"]) == ("bright", 0, 0.0)
    logits = np.array([np.mean(found["values"]), 1.0])
    probabilities = {each["label"]: each["probability"] for each in prediction["top_k"]}
    expected = dict(zip(("bright", "dark"), np.exp(logits) / np.exp(logits).sum(), strict=True))
    assert probabilities == pytest.approx(expected, abs=1e-5)


def test_nothing_is_shown_where_the_network_did_not_look(looking):
    wf, task = looking
    frame = np.full((100, 400, 3), 200, np.uint8)
    wf.run_on(array=frame)
    heat = task.get_output(MAP).get_image()
    # Of 36 x 144 pixels the middle 32 x 32.
    assert (heat[6:94, 156:244] == 255).all()
    assert not heat[:, :155].any()
    assert not heat[:, 245:].any()
    picture = task.get_image_with_graphics()
    assert np.array_equal(picture[50, 260:], frame[50, 260:])
    assert (picture[50, 160:240] != frame[50, 160:240]).any(axis=1).all()


@pytest.fixture
def behind(brightness):
    """Build detector → the network."""

    def build(*found):
        wf = Workflow()
        wf.add_task(task=Detector(list(enumerate(found))), auto_connect=True)
        task = wf.add_task(name=NAME, auto_connect=True)
        task.set_parameters({"weights": str(brightness), "device": "cpu", "maps": "True"})
        return wf, task

    return build


def test_each_object_has_its_map_within_its_box(behind):
    # The boxes' cells are at 4, 18, 31 and 44 of 60 pixels.
    frame = np.maximum(frame_with((71, 18), 10), frame_with((18, 101), 10))
    wf, task = behind((0, 40, 60, 60), (70, 0, 60, 60), (158, 118, 1, 1), (-20, 40, 60, 60))
    wf.run_on(array=frame)
    heat = task.get_output(MAP).get_image()
    assert np.abs(hottest(heat[40:100, :60]) - (31, 18)).max() <= 2
    assert np.abs(hottest(heat[:60, 70:130]) - (18, 31)).max() <= 2
    assert not heat[:, 130:].any()
    assert not heat[:40, :70].any()
    assert ["map" in row for row in result(task)["predictions"]] == [True, True, False, True]


def test_a_detector_that_found_nothing_leaves_the_map_dark(behind):
    wf, task = behind()
    wf.run_on(array=frame_with((60, 80), 50))
    assert not task.get_output(MAP).get_image().any()


def test_a_chosen_class_and_an_unknown_answer_have_maps_too(looking):
    wf, task = looking
    frame = frame_with((60, 80), 50)
    task.set_parameters({"map_class": "dark", "confidence_threshold": 1.0})
    wf.run_on(array=frame)
    (prediction,) = result(task)["predictions"]
    assert prediction["answer"] == "unknown"
    assert prediction["map"] == {"label": "dark", "index": 1, "bias": 1.0, "values": [[0.0] * 4] * 4}
    task.set_parameters({"map_class": ""})
    wf.run_on(array=frame)
    assert result(task)["predictions"][0]["map"]["label"] == "bright"
    task.set_parameters({"map_class": "dim"})
    with pytest.raises(RuntimeError, match=r"map_class = 'dim': must be one of the model's labels \(bright, dark\)"):
        wf.run_on(array=frame)


def test_maps_come_and_go_with_the_parameter(looking):
    wf, task = looking
    frame = frame_with((200, 200), 100, (400, 400))
    wf.run_on(array=frame)
    shown = task.get_image_with_graphics()
    task.set_parameters({"maps": "False"})
    wf.run_on(array=frame)
    assert not task.get_output(MAP).is_data_available()
    assert "map" not in result(task)["predictions"][0]
    # Below the caption.
    assert np.array_equal(task.get_image_with_graphics()[50:], frame[50:])
    task.set_parameters({"maps": "True"})
    wf.run_on(array=frame)
    assert np.array_equal(task.get_image_with_graphics(), shown)
    assert (shown[190:210, 190:210] != 255).any(axis=2).all()


def test_other_tasks_can_use_the_map(looking):
    wf, task = looking
    threshold = wf.add_task(name="ocv_threshold")
    wf.connect_tasks(task, threshold, [(MAP, 0)])
    threshold.set_parameters({"threshold": "128"})
    wf.run_on(array=frame_with((60, 80), 50))
    hot = threshold.get_output(0).get_image() > 0
    assert np.array_equal(hot, task.get_output(MAP).get_image() > 128)
    assert hot.any()


def test_a_task_behind_still_gets_the_image_by_itself(looking, photos):
    wf, _ = looking
    behind = wf.add_task(name="ocv_threshold", auto_connect=True)
    wf.run_on(array=photos[0][..., 0].copy())
    assert np.array_equal(behind.get_input(0).get_image(), photos[0][..., 0])


def test_a_map_is_saved_beside_its_image(brightness, tmp_path):
    frame = frame_with((60, 80), 50)
    (tmp_path / "photos").mkdir()
    Image.fromarray(frame).save(tmp_path / "photos" / "one.png")
    wf = Workflow("a folder with maps")
    task = wf.add_task(name=NAME, auto_connect=True)
    task.set_parameters({"weights": str(brightness), "maps": "True"})
    wf.run_on(folder=str(tmp_path / "photos"))
    saved = Path.home() / "Ikomia" / "Workflows" / wf.name
    (image,), (heat,) = saved.rglob("*one.png"), saved.rglob("*one_map.png")
    assert np.array_equal(np.asarray(Image.open(image)), frame)
    assert np.array_equal(np.asarray(Image.open(heat)), task.get_output(MAP).get_image())


def test_a_map_is_saved_where_one_wants_it(looking, tmp_path):
    wf, task = looking
    wf.run_on(array=frame_with((60, 80), 50))
    task.get_output(MAP).save(str(tmp_path / "where.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "where.png")), task.get_output(MAP).get_image())
