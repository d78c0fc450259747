"""Trainings in two real processes: how they end, and go on with another number of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.model_folder import ModelConfig, read_config, write_model_folder
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.run.progress import Listener, TrainingError
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")

REPOSITORY = Path(__file__).parents[2]
ENDLESS = {"epochs": 5000, "scheduler": "none"}
LIMIT_S = 120


@pytest.fixture
def digits(tmp_path):
    return write_digits(tmp_path / "digits", {"train": 7, "val": 3})


def settings(folder, **others):
    values = {**TINY, "devices": 2, "output_folder": folder, **others}
    return read_host_map({key: str(value) for key, value in values.items()})


def pairs(parameters):
    """As the command line takes them."""
    return [f"{key}={value}" for key, value in parameters.to_strings().items()]


def ranks_of(process=None):
    """The training processes below this one, by rank."""
    found = {}
    for child in (process or psutil.Process()).children(recursive=True):
        try:
            rank = child.environ().get("RANK")
        except psutil.Error:
            continue
        if rank is not None:
            found[int(rank)] = child
    return found


def all_end(processes):
    _, alive = psutil.wait_procs(processes, LIMIT_S)
    return not alive


def begun(folder):
    """Parameters that train only the classifier of a network, whose normalization no rank's own images change."""
    network = Architecture((1, 1), 4, 4)
    torch.manual_seed(0)
    config = ModelConfig.of(network, ("0", "1", "2"), Preprocessing(18, 16))
    write_model_folder(folder, config, network.build(3).state_dict())
    return {"weights": folder, "feature_extract": True}


def farthest(one, other):
    """Largest difference of a weight of two trainings."""
    ours, theirs = (load_file(each.model_folder / "model.safetensors") for each in (one, other))
    return max(float((ours[key] - theirs[key]).abs().max()) for key in ours if ours[key].is_floating_point())


def test_begun_on_two_it_goes_on_with_one_and_back(digits, tmp_path):
    """To the network that one process chooses, by cost; nothing listens beyond this machine meanwhile."""
    (tmp_path / "costs.csv").write_text(",0,1,2\n0,0,1,1\n1,1,0,1\n2,20,20,0\n")
    asked = {
        **begun(tmp_path / "start"),
        "epochs": 8,
        "learning_rate": 0.5,
        "scheduler": "none",
        "cost_matrix": tmp_path / "costs.csv",
    }
    by_cost = {**asked, "best_epoch_by": "expected_cost"}
    rows, listening = [], []

    def on_epoch(row):
        rows.append(row)
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        connections = [each for process in family for each in process.net_connections() if process.pid != os.getpid()]
        listening.extend(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)

    for devices, until in ((2, 1), (1, 2), (2, 9)):
        stop = Listener(epoch=on_epoch, stop_requested=lambda until=until: len(rows) >= until)
        several = train(digits, settings(tmp_path / "several", **by_cost, devices=devices, resume="auto"), stop)
        assert several.stopped == (until < 8)
    one = train(digits, settings(tmp_path / "one", **by_cost, devices=1))
    other = train(digits, settings(tmp_path / "other", **asked, devices=1))
    assert [row["epoch"] for row in several.history] == list(range(1, 9))
    assert len(list((tmp_path / "several").glob("*/run.json"))) == 1
    assert several.best_epoch == one.best_epoch != other.best_epoch
    costs = [row["val_expected_cost"] for row in one.history]
    assert costs[one.best_epoch - 1] == min(costs) < costs[other.best_epoch - 1]
    assert [row["val_expected_cost"] for row in several.history] == pytest.approx(costs, abs=1e-5)
    for result in (several, one):
        assert read_config(result.model_folder).resnext.costs == ((0, 1, 1), (1, 0, 1), (20, 20, 0))
    assert farthest(several, one) < 1e-5
    assert farthest(several, other) > 1e-3
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_a_killed_process_ends_all_and_is_named(digits, tmp_path):
    ranks = {}

    def kill_one(row):
        if not ranks:
            ranks.update(ranks_of())
            ranks[1].kill()

    message = r"rank 1 was killed by SIGKILL.*\. The model of epoch \d+ is kept in"
    with pytest.raises(TrainingError, match=message) as caught:
        train(digits, settings(tmp_path / "runs", **ENDLESS), Listener(epoch=kill_one))
    assert all_end(ranks.values())
    assert (Path(str(caught.value).rpartition(" kept in ")[2]) / "model.safetensors").is_file()


def test_a_lost_image_is_named_with_the_rank_that_missed_it(digits, tmp_path):
    lost, looked_at = min((digits / "train" / "1").iterdir()), []

    def lose(done):
        looked_at.append(done)
        if len(looked_at) == len(list(digits.rglob("*.png"))):
            # All have been checked, and no process has started.
            lost.unlink()

    message = rf"^rank [01]: .*{lost.name} could be read when.* resume = .*No epoch was completed"
    with pytest.raises(TrainingError, match=message):
        train(digits, settings(tmp_path / "runs"), Listener(progress=lose))
    assert not ranks_of()


def limited(rank, kind, values):
    """Told of the first epoch, it forbids one of the processes to take more."""

    def limit(row):
        if row["epoch"] == 1:
            ranks_of()[rank].rlimit(kind, values)

    return Listener(epoch=limit)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process are Linux's")
def test_memory_that_one_runs_out_of_ends_all_with_the_remedy(digits, tmp_path, monkeypatch):
    # Else what is given back is kept for later, and a step that is like the one before asks for nothing more.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(2**17))
    large = {**ENDLESS, "input_size": 64, "num_workers": 0, "augmentation": "none"}
    limits = limited(1, psutil.RLIMIT_AS, (2**28, psutil.RLIM_INFINITY))
    with pytest.raises(TrainingError, match=r"^rank 1: out of memory .*set batch_size to 4.* epoch \d+ is kept in"):
        train(digits, settings(tmp_path / "runs", **large), limits)
    assert not ranks_of()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process are Linux's")
def test_a_disk_that_the_first_cannot_write_to_ends_all_and_the_run_can_go_on(digits, tmp_path):
    limits = limited(0, psutil.RLIMIT_FSIZE, (1000, psutil.RLIM_INFINITY))
    with pytest.raises(TrainingError, match=r"reading or writing failed .*File too large"):
        train(digits, settings(tmp_path / "runs", **ENDLESS), limits)
    assert not ranks_of()
    rows = []
    stop = Listener(epoch=rows.append, stop_requested=lambda: bool(rows))
    resumed = train(digits, settings(tmp_path / "runs", **ENDLESS, resume="auto", devices=1), stop)
    assert [row["epoch"] for row in resumed.history] == [1, 2]


def test_processes_whose_parent_was_killed_end(digits, tmp_path):
    arguments = pairs(settings(tmp_path / "runs", **ENDLESS))
    parent = psutil.Popen(
        [sys.executable, "-m", "train_torchvision_resnext", str(digits), "--set", *arguments], cwd=REPOSITORY
    )
    end = time.monotonic() + LIMIT_S
    while not list((tmp_path / "runs").glob("*/checkpoints/last.ckpt")):
        assert time.monotonic() < end
        time.sleep(0.1)
    ranks = ranks_of(parent)
    assert ranks.keys() == {0, 1}
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all_end(ranks.values())


def test_the_command_under_torchrun_trains_with_all_of_its_processes(digits, tmp_path):
    arguments = pairs(settings(tmp_path / "runs", devices=1))
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train_torchvision_resnext"]
    ended = subprocess.run(
        [sys.executable, "-m", *torchrun, str(digits), "--set", *arguments],
        cwd=REPOSITORY, env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert "2 processes share each batch of 8" in ended.stdout
    (run,) = (tmp_path / "runs").glob("*/run.json")
    assert (run.parent / "model" / "model.safetensors").is_file()
    assert [path.name for path in sorted((run.parent / "epochs").iterdir())] == ["0001.json", "0002.json", "0003.json"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devices": 3, "batch_size": 5}, "batch_size = 5 is shared by 3 devices, .*set batch_size to 6 or more, or d"),
        ({"devices": 0}, "devices = '0': must be all, or an integer from 1 to 999"),
        ({"devices": "both"}, "devices = 'both': must be all, or an integer from 1 to 999"),
    ],
)
def test_what_cannot_be_shared_is_told_before(values, message, digits, tmp_path):
    with pytest.raises((TrainingError, ValueError), match=message):
        train(digits, settings(tmp_path / "runs", **values))


def test_threads_are_what_was_asked_for_and_afterwards_what_they_were(digits, tmp_path):
    before, seen = torch.get_num_threads(), []
    wanted = before + 1
    listener = Listener(epoch=lambda row: seen.append(torch.get_num_threads()))
    train(digits, settings(tmp_path / "runs", devices=1, threads=wanted, epochs=1), listener)
    assert seen == [wanted]
    assert torch.get_num_threads() == before
