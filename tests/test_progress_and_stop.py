"""Progress moves batch by batch, and Stop from another thread ends a run of the inference within one of them."""

import threading

import numpy as np
import pytest
from ikomia import dataprocess
from ikomia.dataprocess.workflow import Workflow

from benchmarks.plain_plugin import Detector

BOXES = [(20.0 * index, 15.0 * index, 60.0, 50.0) for index in range(10)]


class Downstream(dataprocess.C2dImageTask):
    """Counts its runs."""

    def __init__(self):
        dataprocess.C2dImageTask.__init__(self, "downstream")
        self.runs = 0

    def run(self):
        self.begin_task_run()
        self.forward_input_image(0, 0)
        self.runs += 1
        self.end_task_run()


class Bar:
    """What a host's progress bar is told, on the way to the host."""

    def __init__(self, task):
        self.total, self.done = task.get_progress_steps(), 0
        self.at_step = {}
        add, step = task.emit_add_sub_progress_steps, task.emit_step_progress

        def added(count):
            self.total += count
            add(count)

        def stepped():
            self.done += 1
            step()
            self.at_step.get(self.done, lambda: None)()

        task.emit_add_sub_progress_steps, task.emit_step_progress = added, stepped


def graph(tiny_folder, boxes, **values):
    """Root → detector → inference → another task."""
    wf = Workflow()
    detector = Detector(boxes)
    wf.add_task(task=detector, auto_connect=True)
    task = wf.add_task(name="infer_torchvision_resnext")
    wf.connect_tasks(wf.root(), task, [(0, 0)])
    wf.connect_tasks(detector, task, [(1, 1)])
    task.set_parameters({"weights": str(tiny_folder), "device": "cpu", **values})
    after = Downstream()
    wf.add_task(task=after)
    wf.connect_tasks(task, after, [(0, 0)])
    return wf, task, after


def from_another_thread(act):
    """Run to its end there; a run that never lets the other thread in fails the test."""

    def go():
        thread = threading.Thread(target=act)
        thread.start()
        thread.join(timeout=60)
        assert not thread.is_alive()

    return go


@pytest.mark.parametrize(
    ("boxes", "batch_size", "steps"),
    [(BOXES, 3, 5), (BOXES, 1, 11), (BOXES, 32, 2), ([], 3, 2), ([(900.0, 900.0, 5.0, 5.0)], 3, 2)],
)
def test_loading_and_each_batch_are_a_step(tiny_folder, photos, boxes, batch_size, steps):
    wf, task, _ = graph(tiny_folder, boxes, batch_size=batch_size)
    bar = Bar(task)
    wf.run_on(array=photos[0])
    assert (bar.done, bar.total) == (steps, steps)


def test_a_whole_image_is_loading_and_one_step(workflow, tiny_folder, photos):
    wf, task = workflow
    task.set_parameters({"weights": str(tiny_folder)})
    bar = Bar(task)
    wf.run_on(array=photos[0])
    assert (bar.done, bar.total) == (2, 2)
    assert not task.get_output(4).data["stopped"]


def nothing_is_handed_on(task):
    output = task.get_output(4).data
    assert (output["stopped"], output["predictions"]) == (True, [])
    assert output["notes"] == ["stopped: there are no results"]
    assert task.get_output(1).get_objects() == []
    assert task.get_output(2).get_items() == []
    assert task.get_whole_image_results() == []
    return True


@pytest.mark.parametrize("step", [1, 4])
def test_stopping_the_workflow_ends_the_run_within_a_batch(tiny_folder, photos, step):
    wf, task, after = graph(tiny_folder, BOXES, batch_size=1)
    wf.run_on(array=photos[0])
    whole = task.get_output(4).data["predictions"]
    assert (len(whole), after.runs) == (10, 1)

    bar = Bar(task)
    bar.at_step = {step: from_another_thread(wf.stop)}
    with pytest.raises(RuntimeError, match="Stop workflow requested"):
        wf.run_on(array=photos[0])
    assert (bar.done, after.runs) == (step, 1)
    assert nothing_is_handed_on(task)
    assert np.array_equal(task.get_image_with_graphics(), photos[0])

    bar.at_step = {}
    wf.run_on(array=photos[0])
    assert task.get_output(4).data["predictions"] == whole
    assert after.runs == 2


def test_stopping_the_task_alone_says_so_to_what_follows(tiny_folder, photos):
    wf, task, after = graph(tiny_folder, BOXES, batch_size=2)
    bar = Bar(task)
    bar.at_step = {2: from_another_thread(task.stop)}
    wf.run_on(array=photos[0])
    assert (bar.done, after.runs) == (2, 1)
    assert nothing_is_handed_on(task)


def test_a_stop_while_a_whole_image_is_classified_leaves_no_answer(workflow, tiny_folder, photos):
    wf, task = workflow
    task.set_parameters({"weights": str(tiny_folder)})
    bar = Bar(task)
    bar.at_step = {1: from_another_thread(wf.stop)}
    with pytest.raises(RuntimeError, match="Stop workflow requested"):
        wf.run_on(array=photos[0])
    assert nothing_is_handed_on(task)
