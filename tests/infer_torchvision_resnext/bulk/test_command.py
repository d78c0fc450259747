"""The command as a process, ended in the middle."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from infer_torchvision_resnext.bulk.job import CACHE
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from tests.bulk_jobs import REPOSITORY, SETTINGS, assert_each_once, command, finish, start, write_digits

ROWS = 3200
PATHS = [f"{folder}/{number:04}.png" for folder in "ab" for number in range(ROWS // 2)]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Images; and in the cache of the home what it takes to classify them, so that no command has to convert it."""
    Classifier(CACHE).prepare(Parameters(**SETTINGS))
    return write_digits(tmp_path_factory.mktemp("many") / "digits", ROWS)


def end_in_the_middle(process, output, end) -> int:
    """How many parts it had written when it was ended."""
    deadline = time.monotonic() + 120
    while not list(output.glob("part-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    end()
    process.communicate(timeout=60)
    parts = len(list(output.glob("part-*")))
    assert 1 <= parts < ROWS // 50
    return parts


def test_every_image_has_one_row_after_kill_9(many, tmp_path):
    output = tmp_path / "table"
    process = start(command(many, output, "--format", "csv"))
    children = []

    def kill():
        children.extend(psutil.Process(process.pid).children(recursive=True))
        process.kill()

    parts = end_in_the_middle(process, output, kill)
    # Nor does anything of it go on running.
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
    said = finish(start(command(many, output, "--format", "csv")))
    assert f"{parts * 50:,} were there before, 0 errors" in said
    assert_each_once(output, PATHS)
    assert not [file for file in output.glob(".*") if time.time() - file.stat().st_mtime > 3600]


def test_ctrl_c_ends_it_at_once_and_the_same_command_goes_on(many, tmp_path):
    output = tmp_path / "table"
    process = start(command(many, output, "--format", "csv"))
    end_in_the_middle(process, output, lambda: os.killpg(process.pid, signal.SIGINT))
    assert process.returncode == 130
    assert not list(output.glob(".*"))
    finish(start(command(many, output, "--format", "csv")))
    assert_each_once(output, PATHS)


def test_what_is_wrong_is_said_without_a_traceback(tmp_path):
    done = subprocess.run(
        [*command(tmp_path / "nothing", tmp_path / "table"), "topk=3"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "'topk' is not a parameter: did you mean 'top_k'?"


def test_a_script_without_a_guard_is_told_so_and_leaves_no_rows(tmp_path):
    """Processes that start import the script, which would start processes."""
    source, output = write_digits(tmp_path / "digits", 4), tmp_path / "table"
    (tmp_path / "script.py").write_text(
        "from infer_torchvision_resnext.bulk.job import classify_all\n"
        f"classify_all({str(source)!r}, {str(output)!r}, {SETTINGS}, form='csv', workers=1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert "RuntimeError: processes that decode cannot be started" in done.stderr
    assert not list(output.glob("part-*"))


def test_the_plugin_lists_its_commands():
    done = subprocess.run(
        [sys.executable, "-m", "infer_torchvision_resnext"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert "classify" in done.stdout
