"""The inference task behind what finds objects."""

import numpy as np
import pytest
from ikomia import dataprocess
from ikomia.dataprocess.workflow import Workflow

from tests.inference_output import NAME, result, table


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
    # Center 200, 150; 100 x 20, turned by 90 degrees: x 190 to 210, y 100 to 200.
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
