"""One process writes the same rows of an OUTPUT, however the others were started or ended."""

import json
import multiprocessing
import os
import signal

import pytest
from filelock import FileLock

from infer_torchvision_resnext.bulk.output_lock import OutputBusyError, locked
from infer_torchvision_resnext.bulk.shards import EVERYTHING, Shard


def _hold(output, shard, pipe):
    with locked(output, shard, print):
        pipe.send("locked")
        pipe.recv()


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds a shard of `tmp_path`; the fixture's value returns its id."""
    started = []

    def start(shard):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path, shard, theirs))
        process.start()
        started.append((process, ours))
        assert ours.recv() == "locked"
        return process

    yield start
    for process, _ in started:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("held", "wanted", "is_refused"),
    [
        (EVERYTHING, EVERYTHING, True),
        (Shard(0, 2), Shard(0, 2), True),
        (Shard(0, 2), Shard(1, 2), False),
        (Shard(0, 2), Shard(2, 3), True),
        (Shard(0, 2), EVERYTHING, True),
        (EVERYTHING, Shard(1, 2), True),
    ],
)
def test_no_two_processes_do_the_same_rows(tmp_path, held, wanted, is_refused):
    with locked(tmp_path, held, print):
        if is_refused:
            with pytest.raises(OutputBusyError, match=rf"in use by process {os.getpid()} on .*--shard I/N"):
                locked(tmp_path, wanted, print).__enter__()
        else:
            with locked(tmp_path, wanted, print):
                pass
    # Readers of data sets pass over what begins so, and little is left.
    assert [file.name for file in tmp_path.iterdir()] == ["_lock"]
    with locked(tmp_path, wanted, print):
        pass


def test_a_killed_process_leaves_no_lock_and_a_living_one_is_named(tmp_path, holder):
    process = holder(Shard(1, 3))
    with pytest.raises(OutputBusyError, match=rf"process {process.pid} on .*shard 2/3"):
        locked(tmp_path, EVERYTHING, print).__enter__()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with locked(tmp_path, EVERYTHING, print):
        holders = [json.loads(file.read_text()) for file in tmp_path.glob("_lock-*.json")]
    assert [entry["pid"] for entry in holders] == [os.getpid()]


def test_without_locks_the_work_goes_on_and_says_so(tmp_path, monkeypatch):
    def unsupported(self, *_, **__):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    sentences = []
    with locked(tmp_path, EVERYTHING, sentences.append):
        pass
    assert "without locks: start only one process" in sentences[0]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match="expected I/N with I from 1 to N"):
        Shard.from_text(text)


def test_shards_are_counted_from_one():
    assert (Shard.from_text("2/4"), Shard.from_text("1/1")) == (Shard(1, 4), EVERYTHING)
