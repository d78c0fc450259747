"""Several commands with one OUTPUT at the same time."""

import json
import random
import time

import psutil
import pytest

from infer_torchvision_resnext.bulk.job import CACHE
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from tests.bulk_jobs import SETTINGS, assert_each_once, command, finish, rows_of, start, write_digits

ROWS = 400
PATHS = [f"{folder}/{number:04}.png" for folder in "ab" for number in range(ROWS // 2)]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    Classifier(CACHE).prepare(Parameters(**SETTINGS))
    return write_digits(tmp_path_factory.mktemp("many") / "digits", ROWS)


def outcomes(*commands):
    """Exit status and messages of commands that are started at once."""
    processes = [start(arguments) for arguments in commands]
    said = ["".join(process.communicate(timeout=300)) for process in processes]
    return sorted(zip([process.returncode for process in processes], said, strict=True))


def test_of_two_equal_commands_one_writes_and_the_other_says_which(many, tmp_path):
    arguments = command(many, tmp_path / "table", "--format", "csv")
    (_, first), (status, second) = outcomes(arguments, arguments)
    assert_each_once(tmp_path / "table", PATHS)
    assert "0 errors" in first
    # On a busy machine, one may begin when the other has ended.
    assert "is in use by process" in second if status else f"{ROWS} were there before" in first + second


def test_of_two_different_commands_one_gets_the_output(many, tmp_path):
    arguments = command(many, tmp_path / "table", "--format", "csv")
    # The last value of a setting counts.
    two, three = ([*arguments, "--set", f"top_k={k}"] for k in (2, 3))
    (good, _), (bad, said) = outcomes(two, three)
    assert (good, bad) == (0, 1)
    assert "is in use by process" in said or "was begun by another job: top_k is" in said
    assert_each_once(tmp_path / "table", PATHS)
    assert len({len(row["labels"]) for row in rows_of(tmp_path / "table")}) == 1


def test_shards_fill_one_table_and_whoever_comes_last_has_nothing_left(many, tmp_path):
    shards = [command(many, tmp_path / "table", "--format", "csv", "--shard", f"{index}/2") for index in (1, 2)]
    assert [status for status, _ in outcomes(*shards)] == [0, 0]
    assert_each_once(tmp_path / "table", PATHS)
    assert f"{ROWS} were there before" in finish(start(command(many, tmp_path / "table", "--format", "csv")))


def test_a_table_that_was_killed_again_and_again_is_the_table(many, tmp_path):
    arguments = command(many, tmp_path / "table", "--format", "csv", "--reduced-decoding", "off")
    draw = random.Random(0)
    for _ in range(3):
        process = start(arguments)
        deadline = time.monotonic() + 60
        before = len(list((tmp_path / "table").glob("part-*")))
        while len(list((tmp_path / "table").glob("part-*"))) == before and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.01)
        time.sleep(draw.random() / 20)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate(timeout=60)
        psutil.wait_procs(children, timeout=30)
    finish(start(arguments))
    finish(start(command(many, tmp_path / "at-once", "--format", "csv", "--reduced-decoding", "off")))
    left, right = (
        [{**row, "decode_ms": 0, "forward_ms": 0} for row in rows_of(tmp_path / name)] for name in ("table", "at-once")
    )
    assert left == right


def test_a_table_without_an_answer_is_a_failure(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    arguments = command(tmp_path / "photos", tmp_path / "table", "--format", "csv")
    for _ in range(2):
        process = start(arguments)
        said, problems = process.communicate(timeout=300)
        assert process.returncode == 1
        assert "2 rows" in said
        assert "no image could be classified: every row is an error" in problems
    # Those that can be read by now are.
    (tmp_path / "photos" / "a.png").write_bytes((write_digits(tmp_path / "d", 1) / "a" / "0000.png").read_bytes())
    assert "1 error" in finish(start([*arguments, "--retry-errors"]))
    assert json.loads((tmp_path / "table" / "_plan.json").read_text())["rows"] == 2
