"""The inference task in real workflows of the real Ikomia."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ikomia import core, dataprocess
from ikomia.dataprocess.workflow import Workflow
from PIL import Image

from infer_torchvision_resnext.annotation import colour_of
from infer_torchvision_resnext.resnext.architecture import Architecture
from infer_torchvision_resnext.resnext.schema import ParameterError

NAME = "infer_torchvision_resnext"
HOME = Path.home()
UNDECODED = "no input image: the file could not be decoded"


@pytest.fixture
def tiny(workflow, tiny_folder):
    """A workflow, and in it the task with the tiny model."""
    wf, task = workflow
    task.set_parameters({"weights": str(tiny_folder), "device": "cpu"})
    return wf, task


class Detector(dataprocess.C2dImageTask):
    """Finds what it is told to find: (id, box) pairs, with an angle for rotated boxes."""

    def __init__(self, found=()):
        dataprocess.C2dImageTask.__init__(self, "detector")
        self.found = found
        self.add_output(dataprocess.CObjectDetectionIO())

    def run(self):
        self.begin_task_run()
        self.forward_input_image(0, 0)
        output = self.get_output(1)
        output.init("detector", 0)
        for object_id, box in self.found:
            output.add_object(object_id, "thing", 0.5, *map(float, box), [255, 0, 0])
        self.end_task_run()


class Segmenter(dataprocess.C2dImageTask):
    """Finds two instances, the first of two parts."""

    def __init__(self):
        dataprocess.C2dImageTask.__init__(self, "segmenter")
        self.add_output(dataprocess.CInstanceSegmentationIO())

    def run(self):
        self.begin_task_run()
        self.forward_input_image(0, 0)
        height, width = self.get_input(0).get_image().shape[:2]
        first, second = np.zeros((2, height, width), np.uint8)
        first[20:40, 30:80] = first[50:60, 30:40] = 255
        second[80:110, 100:150] = 255
        output = self.get_output(1)
        output.init("segmenter", 0, width, height)
        output.add_object(4, 0, 1, "thing", 0.75, 30.0, 20.0, 50.0, 40.0, first, [0, 255, 0])
        output.add_object(9, 0, 1, "thing", 0.75, 0.0, 0.0, 0.0, 0.0, second, [0, 255, 0])
        self.end_task_run()


@pytest.fixture
def behind(tiny_folder):
    """Build root → a detecting task → the tiny model, which takes its image from the root."""

    def build(detector, graphics_output=1, **parameters):
        wf = Workflow()
        wf.add_task(task=detector, auto_connect=True)
        task = wf.add_task(name=NAME)
        wf.connect_tasks(wf.root(), task, [(0, 0)])
        wf.connect_tasks(detector, task, [(graphics_output, 1)])
        task.set_parameters({"weights": str(tiny_folder), "device": "cpu", "top_k": 0, **parameters})
        return wf, task

    return build


def result(task):
    return json.loads(task.get_output(4).to_json())


def table(prediction):
    return {row["label"]: row["probability"] for row in prediction["top_k"]}


# ---- the main job ----


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
    }
    assert output["image"] == {"width": 640, "height": 427}
    (prediction,) = output["predictions"]
    assert prediction["answer"] == rows[0][0] == prediction["top_k"][0]["label"]
    assert [row["label"] for row in prediction["top_k"]] == [label for label, _ in rows]
    assert prediction["probability"] == pytest.approx(values[0], rel=1e-3)
    assert output["timings_ms"].keys() == {"load", "preprocess", "forward", "total"}
    assert all(value >= 0 for value in output["timings_ms"].values())


def test_the_picture_carries_the_answer_and_its_colour(tiny, photo_path):
    wf, task = tiny
    wf.run_on(path=photo_path)
    (prediction,) = result(task)["predictions"]
    (text,) = task.get_output(2).get_items()
    assert text.text == f"{prediction['answer']} {100 * prediction['probability']:.1f} %"
    picture = task.get_image_with_graphics()
    colour = colour_of(prediction["top_k"][0]["index"])
    assert (picture == colour).all(axis=2).sum() > 1000


def test_results_of_earlier_runs_stay_whole(tiny, photos):
    wf, task = tiny
    kept = []
    for photo in photos:
        wf.run_on(array=photo)
        kept.append(task.get_output(4).data)
    assert len(kept[0]["predictions"]) == len(kept[1]["predictions"]) == 1
    assert kept[0]["predictions"] != kept[1]["predictions"]


# ---- parameters ----


def test_parameters_are_merged_and_take_effect_in_the_next_run(tiny, photos):
    wf, task = tiny
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 3
    task.set_parameters({"top_k": 1})
    task.set_parameters({"input_size": "64"})
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 1
    assert result(task)["model"]["crop_size"] == 64
    wf.set_parameters({"confidence_threshold": 1, "top_k": 2}, task_name=NAME)
    wf.run_on(array=photos[0])
    (answer, shown), *candidates = task.get_whole_image_results()
    assert answer == "unknown"
    assert float(shown) == pytest.approx(result(task)["predictions"][0]["probability"], rel=1e-3)
    assert [label for label, _ in candidates] == list(table(result(task)["predictions"][0]))
    assert len(candidates) == 2
    assert "unknown" in task.get_output(2).get_items()[0].text


def test_misspelt_keys_and_wrong_values_are_refused_all_at_once_and_change_nothing(tiny):
    wf, task = tiny
    before = task.get_parameters()
    for set_parameters in (task.set_parameters, lambda values: wf.set_parameters(values, task_name=NAME)):
        with pytest.raises(ParameterError) as caught:
            set_parameters({"modl_name": "resnext50", "top_k": "-1", "precision": "int4"})
        assert list(caught.value.problems) == [
            "'modl_name' is not a parameter: did you mean 'model_name'?",
            "top_k = '-1': must be an integer from 0 to 100000",
            "precision = 'int4': must be one of auto, fp32, bf16, fp16, int8",
        ]
    assert task.get_parameters() == before


def test_parameters_can_be_given_at_creation(tiny_folder, photos):
    wf = Workflow()
    task = wf.add_task(name=NAME, params={"weights": str(tiny_folder), "top_k": "2"}, auto_connect=True)
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 2
    with pytest.raises(RuntimeError, match="top_k = 'many': must be an integer from 0"):
        wf.add_task(name=NAME, params={"top_k": "many"})


def test_our_workflow_files_survive_save_load_run(tiny, photos, tmp_path):
    wf, task = tiny
    task.set_parameters({"top_k": "2", "confidence_threshold": "0.25", "input_size": "48"})
    wf.run_on(array=photos[0])
    expected = result(task)
    wf.save(str(tmp_path / "wf.json"))
    loaded = Workflow()
    loaded.load(str(tmp_path / "wf.json"))
    again = loaded.find_task(NAME, 0)
    assert again.get_parameters() == task.get_parameters()
    loaded.run_on(array=photos[0])
    assert result(again)["predictions"] == expected["predictions"]
    assert result(again)["model"] == expected["model"]


def old_workflow_file(path, parameters):
    """A workflow as STUDIO saves it with the HUB's earlier plugin, written from that plugin's documented keys."""
    task = {
        "task_id": 0,
        "task_data": {
            "name": NAME,
            "language": 1,
            "inputs": [{"name": "IODataType.IMAGE"}, {"name": "IODataType.INPUT_GRAPHICS"}],
            "outputs": [
                {"name": "IODataType.IMAGE"},
                {"name": "IODataType.OBJECT_DETECTION"},
                {"name": "IODataType.OUTPUT_GRAPHICS"},
                {"name": "IODataType.NUMERIC_VALUES"},
            ],
            "parameters": [{"name": name, "value": value} for name, value in parameters.items()],
        },
    }
    edge = {"source_id": -1, "source_index": 0, "target_id": 0, "target_index": 0}
    content = {"metadata": {"name": "old"}, "tasks": [task], "connections": [edge]}
    path.write_text(json.dumps(content))
    return str(path)


def test_workflows_of_the_earlier_plugin_with_imagenet_run(tmp_path, imagenet_cache, photos):
    keys = {
        "model_name": "resnext50",
        "dataset": "ImageNet",
        "model_path": "",
        "class_file": "/home/someone/Ikomia/Plugins/Python/infer_torchvision_resnext/models/imagenet_classes.txt",
        "input_size": "224",
    }
    wf = Workflow()
    wf.load(old_workflow_file(tmp_path / "old.json", keys))
    wf.run_on(array=photos[0])
    task = wf.find_task(NAME, 0)
    assert len(task.get_whole_image_results()) == 1000
    assert result(task)["model"]["weights"] == "IMAGENET1K_V1"
    wf.save(str(tmp_path / "new.json"))
    again = Workflow()
    again.load(str(tmp_path / "new.json"))
    again.run_on(array=photos[0])
    assert again.find_task(NAME, 0).get_whole_image_results() == task.get_whole_image_results()


def test_workflows_of_the_earlier_plugin_with_a_custom_model_run(tmp_path, photos):
    torch.manual_seed(0)
    torch.save(Architecture.from_name("resnext50").build(2).state_dict(), tmp_path / "resnext50.pth")
    (tmp_path / "classes.txt").write_bytes(b"ant\r\nbee\r\n")
    keys = {
        "model_name": "resnext50",
        "dataset": "Custom",
        "model_path": str(tmp_path / "resnext50.pth"),
        "class_file": str(tmp_path / "classes.txt"),
        "input_size": "64",
    }
    wf = Workflow()
    wf.load(old_workflow_file(tmp_path / "old.json", keys))
    wf.run_on(array=photos[0])
    task = wf.find_task(NAME, 0)
    assert {label for label, _ in task.get_whole_image_results()} == {"ant", "bee"}
    assert result(task)["model"]["crop_size"] == 64


def test_init_long_process_loads_so_that_the_run_need_not(tiny, photos):
    wf, task = tiny
    wf.init_long_process()
    assert task._classifier.labels == ("ant", "bee", "cat")
    runtime = task._classifier._runtime
    wf.run_on(array=photos[0])
    assert task._classifier._runtime is runtime


def test_names_and_colours_follow_the_model(tiny, imagenet_cache, photos, tiny_folder):
    wf, task = tiny
    for weights, count in ((str(tiny_folder), 3), ("IMAGENET1K_V1", 1000), (str(tiny_folder), 3)):
        task.set_parameters({"weights": weights})
        wf.run_on(array=photos[0])
        assert len(task.get_names()) == count
        index = result(task)["predictions"][0]["top_k"][0]["index"]
        assert tuple(task.get_output(2).get_items()[0].property.color[:3]) == colour_of(index)
        # The host's own way to add an object reads its colour table.
        box = core.CGraphicsRectangle(1.0, 1.0, 9.0, 9.0)
        task.add_object(box, count - 1, 0.5)
        assert tuple(task.get_output(1).get_objects()[-1].color[:3]) == colour_of(count - 1)


def test_a_model_folder_comes_in_through_the_third_input(workflow, tiny_folder, photos):
    wf, task = workflow
    task.set_parameters({"device": "cpu"})
    wf.set_image_input(array=photos[0], index=0)
    wf.add_input(dataprocess.CPathIO(core.IODataType.FOLDER_PATH, str(tiny_folder)))
    wf.connect_tasks(wf.root(), task, [(1, 2)])
    wf.run()
    assert {label for label, _ in task.get_whole_image_results()} == {"ant", "bee", "cat"}


# ---- any image ----


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 50), np.uint8),
        np.zeros((40, 50, 2), np.uint8),
        np.zeros((40, 50, 4), np.uint8),
        np.zeros((40, 50, 3), np.uint16),
        np.zeros((40, 50, 3), np.float32),
        np.zeros((40, 50, 3), np.float64),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 4000, 3), np.uint8),
        np.zeros((4000, 1, 3), np.uint8),
        np.zeros((80, 100, 3), np.uint8)[::2, ::2],
        np.zeros((3, 40, 50), np.uint8).transpose(1, 2, 0),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_any_image_is_classified_and_drawn(tiny, image):
    wf, task = tiny
    wf.run_on(array=image)
    assert len(task.get_whole_image_results()) == 3
    assert result(task)["image"] == {"width": image.shape[1], "height": image.shape[0]}
    assert task.get_image_with_graphics().dtype == np.uint8


def test_a_hundred_megapixels_are_classified_and_drawn(tiny):
    wf, task = tiny
    wf.run_on(array=np.zeros((9000, 12000, 3), np.uint8))
    assert result(task)["image"] == {"width": 12000, "height": 9000}
    assert task.get_image_with_graphics().shape == (9000, 12000, 3)


def test_the_same_picture_in_any_type_gets_the_same_answer(tiny, photos):
    wf, task = tiny
    grey = photos[0][..., 1]
    alike = [
        grey,
        grey[..., None],
        np.dstack([grey, grey, grey]),
        np.dstack([grey, grey, grey, 255 - grey]),
        np.dstack([grey, 255 - grey]),
        grey.astype(np.uint16) * 257,
        (grey / 255).astype(np.float32),
    ]
    answers = []
    for image in alike:
        wf.run_on(array=image)
        answers.append(result(task)["predictions"])
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((4, 4, 3), np.nan, np.float32), "48 values that are NaN or infinite"),
        (np.zeros((0, 4, 3), np.uint8), "input image is empty"),
        (np.zeros((4, 4, 3), np.int32), "input image is int32: expected uint8"),
        (np.full((4, 4, 3), 255, np.float32), r"from 255 to 255: floating point images must lie in \[0, 1\]"),
        (np.zeros((3, 4, 5, 3), np.uint8), "expected H x W"),
        (np.zeros((4, 5, 6), np.uint8), "1 to 4 channels last"),
    ],
)
def test_what_cannot_be_classified_fails_the_run_and_leaves_no_results(tiny, photos, image, message):
    wf, task = tiny
    wf.run_on(array=photos[0])
    with pytest.raises(RuntimeError, match=message):
        wf.run_on(array=image)
    assert not task.get_output(4).data
    assert not task.get_output(2).get_items()


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 cut short"])
def test_a_file_that_cannot_be_decoded_fails_the_run(tiny, tmp_path, content):
    wf, _ = tiny
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(RuntimeError, match=UNDECODED):
        wf.run_on(path=str(tmp_path / "x.jpg"))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_png_files_of_any_kind_are_classified(tiny, photos, tmp_path, mode):
    wf, task = tiny
    if mode == "I;16":
        picture = Image.fromarray(photos[0][..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(photos[0]).convert(mode)
    picture.save(tmp_path / "x.png")
    wf.run_on(path=str(tmp_path / "x.png"))
    assert len(task.get_whole_image_results()) == 3


def test_the_host_turns_photos_upright_before_we_see_them(tiny, photos, tmp_path):
    wf, task = tiny
    wf.run_on(array=photos[0])
    upright = result(task)["predictions"][0]
    turned = Image.fromarray(photos[0]).transpose(Image.Transpose.ROTATE_90)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=orientation)
    wf.run_on(path=str(tmp_path / "turned.png"))
    assert result(task)["image"] == {"width": 640, "height": 427}
    assert result(task)["predictions"][0] == upright


# ---- objects ----


def test_objects_of_a_detector_are_classified_each_by_its_own_pixels(behind, tiny, photos):
    boxes = [(0, 0, 100, 80), (300, 200, 340, 227), (10, 10, 64, 64), (600, 400, 200, 200), (-30, -30, 60, 60)]
    seen = [(0, 0, 100, 80), (300, 200, 340, 227), (10, 10, 64, 64), (600, 400, 40, 27), (0, 0, 30, 30)]
    wf, task = behind(Detector([(10 + index, box) for index, box in enumerate(boxes)]), batch_size=2)
    wf.run_on(array=photos[0])
    output = result(task)
    assert output["region"] == "objects"
    found = output["predictions"]
    assert [row["object_id"] for row in found] == [10, 11, 12, 13, 14]
    assert [row["detected"] for row in found] == ["thing"] * 5
    assert [tuple(row["box_xywh"]) for row in found] == boxes
    assert [tuple(row["view_xywh"]) for row in found] == seen
    alone, single = tiny
    single.set_parameters({"top_k": 0})
    for row, (x, y, width, height) in zip(found, seen, strict=True):
        alone.run_on(array=photos[0][y : y + height, x : x + width])
        assert table(row) == pytest.approx(table(result(single)["predictions"][0]), abs=1e-5)
    objects = task.get_output(1).get_objects()
    assert [(item.id, item.label, tuple(item.box)) for item in objects] == [
        (row["object_id"], row["answer"], tuple(row["box_xywh"])) for row in found
    ]
    assert [item.confidence for item in objects] == pytest.approx([row["probability"] for row in found])
    texts = [item.text for item in task.get_output(1).get_graphics_io().get_items() if item.is_text_item()]
    assert texts == [f"{row['answer']} {100 * row['probability']:.1f} %" for row in found]
    assert task.get_image_with_graphics().shape == photos[0].shape


def test_auto_connect_takes_image_and_objects_from_a_detector(photos, tiny_folder):
    wf = Workflow()
    wf.add_task(task=Detector([(5, (10, 20, 30, 40))]), auto_connect=True)
    task = wf.add_task(name=NAME, auto_connect=True)
    task.set_parameters({"weights": str(tiny_folder)})
    wf.run_on(array=photos[0])
    assert [(row["object_id"], row["view_xywh"]) for row in result(task)["predictions"]] == [(5, [10, 20, 30, 40])]


def test_the_margin_shows_context_on_every_side(behind, photos):
    wf, task = behind(Detector([(0, (100, 100, 40, 20))]), object_margin=0.5)
    wf.run_on(array=photos[0])
    (row,) = result(task)["predictions"]
    assert (row["box_xywh"], row["view_xywh"]) == ([100, 100, 40, 20], [80, 90, 80, 40])


def test_an_objects_answer_does_not_depend_on_its_batch(behind, photos):
    boxes = [(index, (20 * index, 15 * index, 40 + 5 * index, 90)) for index in range(20)]
    tables = []
    for batch_size in (1, 3, 32):
        wf, task = behind(Detector(boxes), batch_size=batch_size)
        wf.run_on(array=photos[1])
        tables.append([table(row) for row in result(task)["predictions"]])
    for row, other, another in zip(*tables, strict=True):
        assert row == pytest.approx(other, abs=1e-5)
        assert row == pytest.approx(another, abs=1e-5)


def test_boxes_too_small_to_read_are_unknown(behind, photos):
    nowhere = (float("nan"), 10, 50, 50)
    boxes = [(5, 5, 0, 0), (10, 10, 50, 50), (900, 10, 50, 50), nowhere]
    wf, task = behind(Detector(list(enumerate(boxes))))
    wf.run_on(array=photos[0])
    tiny_box, readable, outside, not_finite = result(task)["predictions"]
    for row in (tiny_box, outside, not_finite):
        assert (row["answer"], row["probability"], row["view_xywh"]) == ("unknown", 0.0, None)
        assert row["reason"] == "less than 2 x 2 pixels lie in the image"
    assert readable["answer"] != "unknown"
    assert [item.label for item in task.get_output(1).get_objects()] == [
        "unknown",
        readable["answer"],
        "unknown",
        "unknown",
    ]
    assert task.get_image_with_graphics().shape == photos[0].shape


@pytest.mark.parametrize("region", ["auto", "objects"])
def test_a_detector_that_found_nothing_gives_nothing(behind, photos, region):
    wf, task = behind(Detector(), region=region)
    wf.run_on(array=photos[0])
    output = result(task)
    assert (output["region"], output["predictions"]) == ("objects", [])
    assert task.get_output(1).get_objects() == []
    assert task.get_whole_image_results() == []
    assert np.array_equal(task.get_image_with_graphics(), photos[0])


def test_objects_without_a_detector_are_an_empty_result_with_a_note(tiny, photos):
    wf, task = tiny
    task.set_parameters({"region": "objects"})
    wf.run_on(array=photos[0])
    output = result(task)
    assert output["predictions"] == []
    assert output["notes"] == ["region=objects, but nothing is connected to input 1"]


def test_the_whole_image_can_be_asked_for_behind_a_detector(behind, tiny, photos):
    wf, task = behind(Detector([(0, (10, 10, 50, 50))]), region="image")
    wf.run_on(array=photos[0])
    alone, single = tiny
    single.set_parameters({"top_k": 0})
    alone.run_on(array=photos[0])
    assert result(task)["predictions"] == result(single)["predictions"]
    assert task.get_output(1).get_objects() == []
    assert np.array_equal(task.get_image_with_graphics(), single.get_image_with_graphics())


def test_nothing_of_the_other_region_remains_after_a_change(behind, photos):
    wf, task = behind(Detector([(0, (10, 10, 50, 50))]))
    wf.run_on(array=photos[0])
    assert len(task.get_output(1).get_objects()) == 1
    task.set_parameters({"region": "image"})
    wf.run_on(array=photos[0])
    assert task.get_output(1).get_objects() == []
    assert len(task.get_whole_image_results()) == 3
    task.set_parameters({"region": "objects"})
    wf.run_on(array=photos[0])
    assert task.get_whole_image_results() == []
    assert task.get_output(2).get_items() == []


def test_rotated_boxes_are_seen_through_what_encloses_them(behind, photos):
    # Centre 200, 150; 100 x 20, turned by 90 degrees: x 190 to 210, y 100 to 200.
    wf, task = behind(Detector([(3, (200, 150, 100, 20, 90))]))
    wf.run_on(array=photos[0])
    (row,) = result(task)["predictions"]
    assert row["object_id"] == 3
    x, y, width, height = row["view_xywh"]
    assert (abs(x - 190), abs(y - 100)) <= (1, 1)
    assert (20 <= width <= 22, 100 <= height <= 102) == (True, True)


def test_instances_with_outlines_are_one_object_each(behind, blobs):
    wf, task = behind(Segmenter())
    wf.run_on(array=blobs)
    assert [(row["object_id"], row["view_xywh"]) for row in result(task)["predictions"]] == [
        (4, [30, 20, 50, 40]),
        (9, [100, 80, 50, 30]),
    ]


def test_behind_threshold_and_binary_to_graphics(blobs, tiny_folder):
    wf = Workflow()
    wf.add_task(name="ocv_threshold", auto_connect=True)
    graphics = wf.add_task(name="ik_binary_to_graphics", auto_connect=True)
    task = wf.add_task(name=NAME)
    wf.connect_tasks(wf.root(), task, [(0, 0)])
    wf.connect_tasks(graphics, task, [(1, 1)])
    task.set_parameters({"weights": str(tiny_folder)})
    wf.run_on(array=blobs)
    assert sorted(row["view_xywh"] for row in result(task)["predictions"]) == [[30, 20, 50, 40], [100, 80, 50, 30]]
    wf.run_on(array=np.zeros_like(blobs))
    assert result(task)["predictions"] == []


# ---- video and folders ----


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
