"""Trainings that do not end by themselves: stopped, killed, without room, without their images."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from safetensors.torch import load_file

from benchmarks.interruptions import ENDLESS, FULL_DISK, SIGNALS, end
from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.results import outcome
from train_torchvision_resnext.results.report import write_report
from train_torchvision_resnext.run.progress import Listener, TrainingError
from train_torchvision_resnext.run.run_folder import RunFolder, RunFolderError
from train_torchvision_resnext.training import train

REPOSITORY = Path(__file__).parents[2]
STATE = (
    "checkpoints/.lock",
    "checkpoints/best.safetensors",
    "checkpoints/last.ckpt",
    "checkpoints/mlflow_run.txt",
    "run.json",
)


pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 10, "val": 5})


def settings(folder, **values):
    return read_host_map({**TINY, "output_folder": str(folder), **{key: str(value) for key, value in values.items()}})


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_stop_in_the_first_second_counts(digits, tmp_path):
    """Torch is still being imported then."""
    ending = end("Stop at 0.4 s", digits, tmp_path)
    assert (ending.code, ending.left, ending.model) == (0, (), ()), ending.said
    assert "stopped = True, epochs = 0, model = ''" in ending.said


def test_stop_in_an_epoch_keeps_the_best_model_and_says_where_it_is(digits, tmp_path):
    ending = end("Stop in an epoch", digits, tmp_path)
    assert (ending.code, ending.left) == (0, STATE), ending.said
    assert {"model.safetensors", "metrics.json", "report/report.html"} <= set(ending.model)
    assert re.search(r"stopped by the user in epoch \d+ of 5000; resume = auto goes on", ending.said)
    assert re.search(rf"the model is in {tmp_path}/\S+/model, its report in {tmp_path}/\S+/report", ending.said)
    assert "on the CPU in fp32" in ending.said
    assert "3 classes, 30 training and 15 validation images" in ending.said


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
@pytest.mark.parametrize(("way", "code"), [("Ctrl-C", 1), ("SIGTERM", -SIGNALS["SIGTERM"])])
def test_signals_end_a_training_as_stop_does_and_then_the_process(way, code, digits, tmp_path):
    ending = end(way, digits, tmp_path)
    assert (ending.code, ending.left) == (code, STATE), ending.said
    assert {"model.safetensors", "metrics.json", "report/report.html"} <= set(ending.model)
    assert "resume = auto goes on" in ending.said
    assert "SystemExit" not in ending.said
    if way == "Ctrl-C":
        assert "KeyboardInterrupt'>: training was stopped by Ctrl-C; its best model so far is in" in ending.said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no SIGKILL")
def test_what_a_killed_training_leaves_is_taken_up_and_its_drafts_are_removed(digits, tmp_path):
    ending = end("kill -9", digits, tmp_path)
    assert ending.model == ()
    assert set(STATE) <= set(ending.left)
    (run,) = (path.parent for path in tmp_path.glob("*/run.json"))
    (run / ".draft-0123-model").mkdir()
    (run / ".draft-0123-model" / "model.safetensors").write_bytes(b"half")
    (run / "checkpoints" / ".draft-0123-last.ckpt").write_bytes(b"half")
    (run / ".draft-0123-run.json").write_bytes(b"half")
    old = tmp_path / ".draft-0123-.images.json"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    young = tmp_path / ".draft-4567-.images.json"
    young.write_bytes(b"another process is at it")
    epochs = len(list((run / "epochs").iterdir()))
    seen = []
    listener = Listener(epoch=seen.append, stop_requested=lambda: len(seen) == 2)
    result = train(digits, read_host_map({**ENDLESS, "output_folder": str(tmp_path), "resume": "auto"}), listener)
    assert f"resumed the interrupted run {run.name}" in result.notes
    assert epochs <= len(result.history) <= epochs + 2
    assert {"checkpoints", "epochs", "model", "run.json"} == names_in(run)
    assert not (run / "checkpoints" / ".draft-0123-last.ckpt").exists()
    assert not old.exists()
    assert young.exists()


def test_the_model_is_on_the_disk_before_what_it_was_made_from_is_removed(digits, tmp_path, disk_calls):
    """The order that a power cut at any moment needs."""
    result = train(digits, settings(tmp_path, epochs=1))
    run = result.model_folder.parent
    # Its last step of each kind: run.json was also written when the run began.
    last = {call: number for number, call in enumerate(disk_calls)}
    model = last["rename", "model"]
    for path in result.model_folder.rglob("*"):
        assert last["sync", path.name] < model or path.is_dir(), path
    after = disk_calls[model + 1 :]
    finished = after.index(("rename", "run.json"))
    assert ("sync", run.name) in after[:finished]
    assert after.index(("remove", "checkpoints")) > after.index(("sync", run.name), finished)
    # The state never tells of figures or of a network that are not there.
    before = [name for call, name in disk_calls if call == "rename"]
    assert before[:5] == [".images.json", "run.json", "0001.json", "best.safetensors", "last.ckpt"]
    assert {"epochs", "checkpoints", tmp_path.name} <= {name for call, name in disk_calls if call == "sync"}


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a small disk, which root can make")
def test_a_disk_that_fills_up_is_told_as_such_and_costs_no_state(digits, tmp_path):
    ending = end(FULL_DISK, digits, tmp_path)
    assert ending.code == 1
    assert re.search(r"the disk is full \(.*make room, or set output_folder to another disk; resume=auto", ending.said)
    assert set(STATE) <= set(ending.left), ending.said


def test_a_full_temporary_folder_does_not_matter(digits, tmp_path, small_disk, monkeypatch):
    """The checkpoint was once written to it first."""
    small = small_disk("64k")
    monkeypatch.setenv("TMPDIR", str(small))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert Path(tempfile.gettempdir()) == small
    (small / "full").write_bytes(bytes(2**16 - 4096))
    result = train(digits, settings(tmp_path / "runs"))
    assert {"model.safetensors", "metrics.json", "resnext8_4x4d.pth"} <= names_in(result.model_folder)


def test_an_image_that_is_lost_during_training_costs_neither_the_model_nor_the_run(digits, tmp_path):
    dataset = shutil.copytree(digits, tmp_path / "digits")
    lost = sorted((dataset / "train" / "1").iterdir())[0]
    content = lost.read_bytes()

    with pytest.raises(TrainingError) as caught:
        train(dataset, settings(tmp_path / "runs", epochs=4), Listener(epoch=lambda row: lost.unlink(missing_ok=True)))
    (run,) = (path.parent for path in (tmp_path / "runs").glob("*/run.json"))
    said = str(caught.value)
    assert f"{lost} could be read when training began, and now cannot" in said
    assert f"The model of epoch 1 is kept in {run / 'model'}" in said
    assert "resume to auto" in said
    assert f"resume = '{run}'" in said
    assert load_file(run / "model" / "model.safetensors")

    # `auto` does not pass over the difference; a run that is named goes on without the image, and says so.
    again = train(dataset, settings(tmp_path / "runs", epochs=4, resume="auto"))
    assert any("no interrupted run" in note for note in again.notes)
    goes_on = train(dataset, settings(tmp_path / "runs", epochs=4, resume=run))
    assert len(goes_on.history) == 4
    assert any(note.startswith("the images have changed since this run began") for note in goes_on.notes)
    assert goes_on.model_folder == run / "model"
    lost.write_bytes(content)


def test_an_image_that_is_back_lets_the_run_go_on(digits, tmp_path):
    dataset = shutil.copytree(digits, tmp_path / "digits")
    lost = sorted((dataset / "train" / "1").iterdir())[0]
    away = tmp_path / "away.png"
    with pytest.raises(TrainingError):
        train(dataset, settings(tmp_path / "runs", epochs=3), Listener(epoch=lambda row: lost.replace(away)))
    away.replace(lost)
    result = train(dataset, settings(tmp_path / "runs", epochs=3, resume="auto"))
    assert len(result.history) == 3
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 1


def test_other_classes_are_not_taken_for_changed_images(digits, tmp_path):
    dataset = shutil.copytree(digits, tmp_path / "digits")
    with pytest.raises(TrainingError):
        train(
            dataset,
            settings(tmp_path / "runs"),
            Listener(epoch=lambda row: [path.unlink() for path in (dataset / "train" / "1").iterdir()]),
        )
    (run,) = (path.parent for path in (tmp_path / "runs").glob("*/run.json"))
    with pytest.raises(TrainingError, match="cannot go on: the images have changed"):
        train(dataset, settings(tmp_path / "runs", resume=run))


@pytest.mark.parametrize("broken", ["write_report", "golden_set", "export_pth"])
def test_nothing_that_goes_wrong_beside_it_costs_the_model(broken, digits, tmp_path, monkeypatch):
    def fail(*args):
        raise ZeroDivisionError("a fault that nobody thought of")

    monkeypatch.setattr(outcome, broken, fail)
    result = train(digits, settings(tmp_path))
    left_out = {"write_report": "report", "golden_set": "golden.safetensors", "export_pth": "resnext8_4x4d.pth"}[broken]
    assert f"{left_out} is left out: a fault that nobody thought of" in result.notes
    assert left_out not in names_in(result.model_folder)
    assert {"model.safetensors", "config.json", "classes.txt", "metrics.json"} <= names_in(result.model_folder)


def test_a_file_name_that_is_no_text_costs_nothing(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "write_report", write_report)
    dataset = shutil.copytree(digits, tmp_path / "digits")
    file = sorted((dataset / "val" / "1").iterdir())[0]
    try:
        file.rename(file.with_name(os.fsdecode(b"caf\xe9 \x1b[31m.png")))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    result = train(dataset, settings(tmp_path / "runs"))
    assert not [note for note in result.notes if "left out" in note]
    for name in ("report/validation.csv", "metrics.json"):
        (result.model_folder / name).read_text(encoding="utf-8")
    assert r"caf\udce9 \x1b[31m.png" in (result.model_folder / "report" / "validation.csv").read_text(encoding="utf-8")


def test_a_loss_beyond_all_reason_is_no_success(digits, tmp_path):
    with pytest.raises(TrainingError, match=r"(train|val)_loss of epoch \d+ is .*diverged.*learning_rate 50 is too h"):
        train(digits, settings(tmp_path, learning_rate=50, warmup_epochs=0, ema_decay=0, epochs=3))
    (model,) = tmp_path.glob("*/model")
    assert "model.safetensors" in names_in(model)


def test_two_trainings_do_not_share_a_run(tmp_path):
    run = RunFolder(tmp_path)
    code = """
import sys
from pathlib import Path
import ikomia
from train_torchvision_resnext.run.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert other.stdout.readline().strip() == "locked"
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert run.is_in_use
    with pytest.raises(RunFolderError, match="another process is training in"), run.locked():
        pass
    other.kill()
    other.wait()
    assert not run.is_in_use
    with run.locked():
        assert run.is_in_use
    assert not run.is_in_use


def test_a_finished_run_can_be_removed_while_windows_keeps_open_files(digits, tmp_path, monkeypatch):
    """There a file cannot be removed while it is open: the lock must be free when its folder goes."""
    free = []
    clear = RunFolder.clear

    def looked_at(run):
        free.append(not run.is_in_use)
        clear(run)

    monkeypatch.setattr(RunFolder, "clear", looked_at)
    result = train(digits, settings(tmp_path))
    assert free == [True]
    assert names_in(result.model_folder.parent) == {"epochs", "model", "run.json"}


def test_signals_are_put_back_and_other_threads_hear_none():
    import signal

    from train_torchvision_resnext.run.progress import Signals

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.name == "Ctrl-C"
        with pytest.raises(KeyboardInterrupt, match="second interrupt: exiting immediately"):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    heard = []
    thread = threading.Thread(target=lambda: heard.append(Signals().__enter__()))
    thread.start()
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert heard[0].received is None


def test_a_damaged_best_network_is_named(digits, tmp_path):
    # Without learning no later epoch is better, so that the first one's network is what is read in the end.
    still = {"epochs": 3, "learning_rate": 0, "ema_decay": 0}
    rows = []
    train(digits, settings(tmp_path, **still), Listener(epoch=rows.append, stop_requested=lambda: len(rows) == 2))
    (best,) = tmp_path.glob("*/checkpoints/best.safetensors")
    best.write_bytes(best.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"best\.safetensors is damaged .*; start over, with resume empty"):
        train(digits, settings(tmp_path, **still, resume="auto"))
