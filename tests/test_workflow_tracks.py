"""The inference task behind a tracker: one answer for each object of a film."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from ikomia import dataprocess
from ikomia.dataprocess.workflow import Workflow

from examples.digits import training_and_held_out
from infer_torchvision_resnext.answers.tracks import JUMPED, NO_ID
from tests.inference_output import NAME, result

DIGITS = Path(__file__).parents[1] / "examples" / "models" / "digits"
SIDE, STEP, FRAMES = 48, 8, 22
HIDDEN = (4, 9, 10, 16)
"""Frames in which something is in front of the digits."""


@pytest.fixture(scope="module")
def film_of_digits():
    """Frames of a 3 that goes to the right and a 5 below it that goes to the left, each on a plate of dark gray."""
    _, held_out = training_and_held_out()
    three, five = (_plate(held_out.images[held_out.digits == digit][0]) for digit in (3, 5))
    frames = []
    for number in range(FRAMES):
        frame = np.zeros((128, 240, 3), np.uint8)
        for plate, top, left in ((three, 8, STEP * number), (five, 72, 192 - STEP * number)):
            frame[top : top + SIDE, max(0, left) : left + SIDE] = plate[:, max(0, -left) :][:, : 240 - left]
            if number in HIDDEN:
                frame[top + SIDE // 3 : top + SIDE, max(0, left) : left + SIDE] = 30
        frames.append(frame)
    return frames


def _plate(digit):
    gray = cv2.resize(digit, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.repeat(np.maximum(gray, 30)[..., None], 3, axis=2)


@pytest.fixture
def video(film_of_digits, tmp_path):
    path = str(tmp_path / "digits.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (240, 128))
    for frame in film_of_digits:
        writer.write(frame)
    writer.release()
    return path


class PlateFinder(dataprocess.C2dImageTask):
    """Finds plates from left to right and gives each an id.

    Args:
        ids: `tracker`: that of the plate that was here a frame before, or a new one, in each film from 41 on;
            `ordinals`: numbers them again in each frame; `zero`: 0 for all; `none`: boxes without any.
    """

    def __init__(self, ids):
        dataprocess.C2dImageTask.__init__(self, "plates")
        self.add_output(dataprocess.CGraphicsOutput() if ids == "none" else dataprocess.CObjectDetectionIO())
        self.ids = ids
        self.before, self.count, self.position = {}, 0, 0

    def run(self):
        self.begin_task_run()
        self.forward_input_image(0, 0)
        image = self.get_input(0)
        position = image.get_current_pos() if isinstance(image, dataprocess.CVideoIO) else 0
        if position < self.position:
            self.before, self.count = {}, 0
        self.position = position
        gray = image.get_image()[..., 0]
        _, _, found, _ = cv2.connectedComponentsWithStats((gray > 15).astype(np.uint8))
        boxes = [tuple(map(float, row[:4])) for row in found[1:] if row[4] > 400]
        output = self.get_output(1)
        output.set_new_layer("plates") if self.ids == "none" else output.init("plates", 0)
        now = {self.followed(box): box[:2] for box in sorted(boxes)}
        for ordinal, (followed, box) in enumerate(zip(now, sorted(boxes), strict=True)):
            if self.ids == "none":
                output.add_rectangle(*box)
            else:
                object_id = {"tracker": followed, "ordinals": ordinal, "zero": 0}[self.ids]
                output.add_object(object_id, "plate", 0.9, *box, [255, 0, 0])
        self.before = now
        self.end_task_run()

    def followed(self, box):
        near = [key for key, (x, y) in self.before.items() if np.hypot(box[0] - x, box[1] - y) < SIDE]
        self.count += not near
        return near[0] if near else 40 + self.count


class Recorder(dataprocess.C2dImageTask):
    """Keeps what the task puts out in each frame."""

    def __init__(self, task):
        dataprocess.C2dImageTask.__init__(self, "recorder")
        self.task = task
        self.outputs, self.labels, self.captions, self.maps = [], [], [], []

    def run(self):
        self.begin_task_run()
        objects = self.task.get_output(1)
        self.outputs.append(self.task.get_output(4).data)
        self.maps.append(self.task.get_output(5).get_image())
        self.labels.append([item.label for item in objects.get_objects()])
        items = objects.get_graphics_io().get_items()
        self.captions.append([item.text for item in items if item.is_text_item()])
        self.forward_input_image(0, 0)
        self.end_task_run()


@pytest.fixture
def behind():
    """Build root → plates → digits → recorder."""

    def build(ids, **parameters):
        wf = Workflow()
        finder = PlateFinder(ids)
        wf.add_task(task=finder, auto_connect=True)
        task = wf.add_task(name=NAME)
        wf.connect_tasks(wf.root(), task, [(0, 0)])
        wf.connect_tasks(finder, task, [(1, 1)])
        # Digits on plates are unlike those that the model learned.
        task.set_parameters({"weights": str(DIGITS), "device": "cpu", "unknown_sensitivity": 0, **parameters})
        recorder = Recorder(task)
        wf.add_task(task=recorder)
        wf.connect_tasks(task, recorder, [(0, 0)])
        return wf, task, recorder

    return build


def answers(output):
    """Id → answer."""
    return {row["object_id"]: row["answer"] for row in output["predictions"]}


def test_an_object_has_one_answer_whatever_single_frames_say(behind, video):
    wf, _, recorder = behind("tracker", track=10)
    wf.run_on(path=video)
    assert len(recorder.outputs) == FRAMES
    three, five = (41, 42)
    for number, output in enumerate(recorder.outputs):
        assert answers(output) == {three: "3", five: "5"}
        assert [row["track"]["frames"] for row in output["predictions"]] == [number + 1, number + 1]
        assert output["notes"] == []
        shown = [f"{row['answer']} {100 * row['probability']:.1f} %" for row in output["predictions"]]
        assert recorder.captions[number] == shown
        assert recorder.labels[number] == [row["answer"] for row in output["predictions"]]
    alone, _, by_frame = behind("tracker")
    alone.run_on(path=video)
    for number, (output, single) in enumerate(zip(recorder.outputs, by_frame.outputs, strict=True)):
        assert {row["object_id"]: row["track"]["this_frame"]["answer"] for row in output["predictions"]} == answers(
            single
        )
        assert (answers(single) == {three: "3", five: "5"}) == (number not in HIDDEN)
        assert not any("track" in row for row in single["predictions"])
    # They have changed sides, so that the order is another.
    assert [[row["object_id"] for row in output["predictions"]] for output in recorder.outputs[:: FRAMES - 1]] == [
        [three, five],
        [five, three],
    ]


def test_maps_are_of_each_frame_whatever_the_track_says(behind, video):
    followed, _, recorder = behind("tracker", track=10, maps=True)
    followed.run_on(path=video)
    alone, _, by_frame = behind("tracker", maps=True)
    alone.run_on(path=video)
    for number, (output, single) in enumerate(zip(recorder.outputs, by_frame.outputs, strict=True)):
        assert np.array_equal(recorder.maps[number], by_frame.maps[number])
        outside = np.ones(recorder.maps[number].shape, bool)
        for row, own in zip(output["predictions"], single["predictions"], strict=True):
            assert row["map"] == own["map"]
            assert row["map"]["label"] == row["track"]["this_frame"]["answer"]
            assert (row["map"]["label"] == row["answer"]) == (own["answer"] == row["answer"])
            x, y, width, height = map(int, row["view_xywh"])
            outside[y : y + height, x : x + width] = False
            assert recorder.maps[number][y : y + height, x : x + width].max() > 200
        assert not recorder.maps[number][outside].any()
    differing = [
        number
        for number, output in enumerate(recorder.outputs)
        if any(row["map"]["label"] != row["answer"] for row in output["predictions"])
    ]
    assert differing == list(HIDDEN)


def test_the_order_of_a_plain_detector_merges_no_two_objects(behind, video):
    wf, _, recorder = behind("ordinals", track=10)
    wf.run_on(path=video)
    (jump,) = (number for number, output in enumerate(recorder.outputs) if output["notes"])
    assert recorder.outputs[jump]["notes"] == [JUMPED]
    assert [row["track"]["frames"] for row in recorder.outputs[jump]["predictions"]] == [1, 1]
    assert answers(recorder.outputs[jump - 1]) == {0: "3", 1: "5"}
    assert answers(recorder.outputs[jump]) == {0: "5", 1: "3"}


@pytest.mark.parametrize("ids", ["zero", "none"])
def test_without_ids_each_frame_is_by_itself_and_a_note_says_what_is_missing(behind, video, ids):
    wf, _, recorder = behind(ids, track=10)
    wf.run_on(path=video)
    by_frame, _, expected = behind(ids)
    by_frame.run_on(path=video)
    for output, plain in zip(recorder.outputs, expected.outputs, strict=True):
        assert output["predictions"] == plain["predictions"]
        assert (output["notes"], plain["notes"]) == ([NO_ID], [])


def test_a_film_that_starts_again_is_another_one(behind, video):
    wf, _, recorder = behind("tracker", track=10)
    for _ in range(2):
        wf.run_on(path=video)
    frames = [[row["track"]["frames"] for row in output["predictions"]] for output in recorder.outputs]
    assert frames[FRAMES - 1] == [FRAMES, FRAMES]
    assert frames[FRAMES:] == frames[:FRAMES]
    # Not because the same ids are elsewhere.
    assert not any(output["notes"] for output in recorder.outputs)


def test_frames_given_one_by_one_go_on_until_the_model_changes(behind, film_of_digits, tiny_folder):
    wf, task, _ = behind("tracker", track=10)

    def frames_after(frame):
        wf.run_on(array=frame)
        return [row["track"]["frames"] for row in result(task)["predictions"]]

    first, second, third, fourth, fifth, *_ = film_of_digits
    assert frames_after(first) == [1, 1]
    assert frames_after(second) == [2, 2]
    task.set_parameters({"top_k": 2})
    assert frames_after(third) == [3, 3]
    task.set_parameters({"weights": str(tiny_folder)})
    assert frames_after(fourth) == [1, 1]
    task.set_parameters({"track": 20})
    assert frames_after(fifth) == [1, 1]


def test_a_whole_image_has_no_track_and_a_note_says_so(tiny, photos):
    wf, task = tiny
    task.set_parameters({"track": 10})
    wf.run_on(array=photos[0])
    assert result(task)["notes"] == ["track: the whole image was classified, and only objects have tracks"]
    assert "track" not in result(task)["predictions"][0]
