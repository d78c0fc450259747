import os
import signal

import pytest

from infer_torchvision_resnext.bulk.processes import AHEAD, STARTS, Processes


def test_while_a_batch_is_computed_the_next_one_is_decoded():
    handed_out = []

    def tasks():
        for number in range(100):
            handed_out.append(number)
            yield (number,)

    with Processes(1) as processes:
        results = processes.results(abs, tasks(), after_death=lambda task: -1, at_once=4)
        assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
        # Nobody asks for more for as long as the network is busy.
        assert len(handed_out) - 4 >= AHEAD + 3


def kill(processes):
    for pid in list(processes._pool._processes):
        os.kill(pid, signal.SIGKILL)


def lost(task):
    return f"{task[0]} is lost"


def test_processes_that_are_killed_before_their_first_task_are_replaced_and_cost_no_task():
    with Processes(1) as processes:
        kill(processes)
        assert list(processes.results(abs, [(-1,), (-2,)], lost)) == [1, 2]
        processes._restart()
        kill(processes)
        assert processes.alone(abs, (-3,), lost) == 3


def test_processes_that_never_begin_end_the_job(monkeypatch):
    start = Processes._start

    def start_and_kill(self):
        start(self)
        kill(self)

    monkeypatch.setattr(Processes, "_start", start_and_kill)
    reason = rf"cannot be started: they ended before their first task, {STARTS} times"
    with Processes(1) as processes, pytest.raises(RuntimeError, match=reason):
        processes.alone(abs, (-1,), lost)
