"""Trainings that end before their last epoch, and what completes their model folder."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.interruptions import ENDLESS, end
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters as InferenceParameters
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.__main__ import main
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.model_folder import read_config
from train_torchvision_resnext.run import progress
from train_torchvision_resnext.run.progress import Listener, TrainingError
from train_torchvision_resnext.training import train

REPOSITORY = Path(__file__).parents[2]
COMPLETE = {
    "classes.txt",
    "config.json",
    "golden.safetensors",
    "metrics.json",
    "model.safetensors",
    "report",
    "resnext8_4x4d.pth",
    "trust.safetensors",
}
BRIEF = {"classes.txt", "config.json", "metrics.json", "model.safetensors"}

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 10, "val": 5})


def settings(folder, **values):
    return read_host_map({**TINY, "output_folder": str(folder), **{key: str(value) for key, value in values.items()}})


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def weights(model_folder):
    return load_file(model_folder / "model.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def stop_after(epochs, end_requested=lambda: False):
    rows = []
    return Listener(epoch=rows.append, stop_requested=lambda: len(rows) >= epochs, end_requested=end_requested)


def test_a_stop_leaves_a_complete_model(digits, tmp_path):
    result = train(digits, settings(tmp_path), stop_after(1))
    assert result.stopped
    assert names_in(result.model_folder) == COMPLETE
    assert read_config(result.model_folder).resnext.no_evidence == ""
    assert "stopped by the user in epoch 2 of 3; resume = auto goes on" in result.notes
    Classifier(tmp_path / "cache").prepare(
        InferenceParameters(weights=str(result.model_folder), device="cpu", target_precision=0.9)
    )


def test_a_second_stop_ends_at_once_with_the_model_there_is_and_finish_completes_it(digits, tmp_path, capsys):
    result = train(digits, settings(tmp_path), stop_after(1, lambda: True))
    assert result.stopped
    assert names_in(result.model_folder) == BRIEF
    run = result.model_folder.parent
    assert any(note.startswith(f"python -m train_torchvision_resnext finish {run} evaluates") for note in result.notes)
    asked = InferenceParameters(weights=str(result.model_folder), device="cpu", target_precision=0.9)
    cause = (
        r"target_precision = 0\.9: requires trust\.safetensors, .* ended before the model was evaluated; .* finish RUN"
    )
    with pytest.raises(ParameterError, match=cause):
        Classifier(tmp_path / "cache").prepare(asked)

    brief = weights(result.model_folder)
    assert main(["finish", str(run)]) == 0
    assert "finished after epoch 1 of 3, without further training" in capsys.readouterr().out
    assert names_in(run / "model") == COMPLETE
    assert same(weights(run / "model"), brief)
    Classifier(tmp_path / "cache").prepare(asked)
    assert len(train(digits, settings(tmp_path, resume="auto")).history) == 3


def test_two_stops_during_the_evaluation_after_the_last_epoch_leave_the_model_and_the_run(digits, tmp_path):
    stops = []

    def requested():
        stops.append(1)
        return len(stops) > 2

    rows = []
    listener = Listener(
        epoch=rows.append, stop_requested=lambda: len(rows) == 1 and requested(), end_requested=lambda: len(stops) > 3
    )
    result = train(digits, settings(tmp_path, epochs=1), listener)
    assert (result.stopped, len(result.history)) == (True, 1)
    assert names_in(result.model_folder) == BRIEF
    assert main(["finish", str(result.model_folder.parent)]) == 0
    assert names_in(result.model_folder) == COMPLETE
    # All of its epochs were done.
    assert names_in(result.model_folder.parent) == {"epochs", "model", "run.json"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
def test_ctrl_c_through_the_host_leaves_a_complete_model(digits, tmp_path):
    ending = end("Ctrl-C", digits, tmp_path)
    assert {"model.safetensors", "golden.safetensors", "trust.safetensors", "report/report.html"} <= set(ending.model)


def test_the_time_limit_ends_as_stop_does_and_says_why(digits, tmp_path, monkeypatch):
    rows = []
    clock = lambda: 61.0 * len(rows)  # noqa: E731
    monkeypatch.setattr(progress, "time", type("Clock", (), {"monotonic": staticmethod(clock)}))
    result = train(digits, settings(tmp_path, max_minutes=2), Listener(epoch=rows.append))
    assert (result.stopped, len(result.history)) == (True, 2)
    assert "max_minutes = 2 was over in epoch 3 of 3; resume = auto goes on" in result.notes
    assert names_in(result.model_folder) == COMPLETE
    resumed = train(digits, settings(tmp_path, resume="auto", max_minutes=0))
    assert (resumed.stopped, len(resumed.history)) == (False, 3)


def test_a_time_limit_before_the_first_epoch_is_over_says_what_to_do(digits, tmp_path):
    result = train(digits, settings(tmp_path, max_minutes=1e-9))
    assert (result.stopped, result.model_folder) == (True, None)
    assert re.search(r"max_minutes = 1e-09 was over before .*; raise it, or set it to 0", " ".join(result.notes))


KILLED = """
import os, signal, sys
from pathlib import Path
import ikomia
from train_torchvision_resnext.run.progress import Listener
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.training import train

def epoch(row):
    if row["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)

folder, *settings = sys.argv[1:]
train(Path(folder), read_host_map(dict(each.split("=", 1) for each in settings)), Listener(epoch=epoch))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_finish_writes_the_model_of_a_killed_run_which_can_still_go_on(digits, tmp_path, capsys):
    whole = train(digits, settings(tmp_path / "whole", learning_rate=0, ema_decay=0))
    parameters = settings(tmp_path / "killed", learning_rate=0, ema_decay=0)
    command = [sys.executable, "-c", KILLED, str(digits), *(f"{k}={v}" for k, v in parameters.to_strings().items())]
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    (run,) = (path.parent for path in (tmp_path / "killed").glob("*/run.json"))
    assert not (run / "model").exists()
    # The report is real in the child only; here an empty folder stands for it.
    assert main(["finish", str(run)]) == 0
    assert names_in(run / "model") == COMPLETE
    # Without learning the first epoch is the best.
    assert same(weights(run / "model"), weights(whole.model_folder))
    assert f"the model is in {run / 'model'}" in capsys.readouterr().out
    metrics = json.loads((run / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert len(metrics["history"]) == 2
    assert len(train(digits, parameters.updated({"resume": "auto"})).history) == 3


def test_finish_says_what_is_wrong(digits, tmp_path, capsys):
    assert main(["finish", str(tmp_path)]) == 1
    assert f"{tmp_path} is not a run folder" in capsys.readouterr().err
    done = train(digits, settings(tmp_path / "done", epochs=1)).model_folder.parent
    assert main(["finish", str(done)]) == 1
    assert "it is finished" in capsys.readouterr().err
    stopped = train(digits, settings(tmp_path), stop_after(1)).model_folder.parent
    content = json.loads((stopped / "run.json").read_text(encoding="utf-8"))
    del content["dataset"]
    (stopped / "run.json").write_text(json.dumps(content), encoding="utf-8")
    assert main(["finish", str(stopped)]) == 1
    assert "add --dataset FOLDER" in capsys.readouterr().err
    assert main(["finish", str(stopped), "--dataset", str(digits)]) == 0


def test_a_run_goes_on_to_more_epochs_by_their_schedule(digits, tmp_path):
    train(digits, settings(tmp_path), stop_after(2))
    longer = train(digits, settings(tmp_path, resume="auto", epochs=4))
    (note,) = (note for note in longer.notes if note.startswith("epochs was"))
    assert note == (
        "epochs was 3 when this run began and is 4 now: from here on the learning rate follows the schedule of 4 epochs"
    )
    straight = train(digits, settings(tmp_path / "straight", epochs=4))
    rates = [[row["learning_rate"] for row in each.history] for each in (longer, straight)]
    assert rates[0][2:] == rates[1][2:]
    assert rates[0][:2] != rates[1][:2]


def test_a_run_does_not_go_on_to_fewer_epochs_than_are_done(digits, tmp_path):
    run = train(digits, settings(tmp_path), stop_after(2)).model_folder.parent
    told = rf"epochs = 1, but 2 are done: set epochs to 2 or more, or write .* finish {re.escape(str(run))}"
    with pytest.raises(TrainingError, match=told):
        train(digits, settings(tmp_path, resume=run, epochs=1))
    again = train(digits, settings(tmp_path, resume="auto", epochs=1))
    assert any(re.search(told, note) for note in again.notes)
    assert again.model_folder.parent != run
    ended = train(digits, settings(tmp_path, resume=run, epochs=2))
    assert (ended.stopped, len(ended.history)) == (False, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
def test_a_second_ctrl_c_ends_the_command_at_once_and_leaves_a_model(digits, tmp_path):
    """The second one comes as soon as there is a model, which is before its evaluation."""
    values = {**ENDLESS, "output_folder": str(tmp_path)}
    command = [sys.executable, "-m", "train_torchvision_resnext", str(digits), "--set"]
    child = subprocess.Popen(
        [*command, *(f"{key}={value}" for key, value in values.items())],
        cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for pattern in ("*/checkpoints/last.ckpt", "*/model/config.json"):
        while not list(tmp_path.glob(pattern)) and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
    assert "second interrupt: exiting immediately" in child.communicate(timeout=300)[1]
    assert child.returncode != 0
    (model,) = tmp_path.glob("*/model")
    assert names_in(model) >= BRIEF
