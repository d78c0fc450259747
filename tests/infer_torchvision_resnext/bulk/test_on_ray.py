"""The same rows from a cluster of Ray's. `make test-scale` runs these; they are skipped where Ray is not installed."""

import time

import psutil
import pytest

from infer_torchvision_resnext.bulk.inputs import InputError
from infer_torchvision_resnext.bulk.on_ray import Cluster
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from tests.bulk_jobs import assert_each_once, command, finish, rows_of, start, write_digits

ROWS = 640
PATHS = [f"{folder}/{number:04}.png" for folder in "ab" for number in range(ROWS // 2)]
PARTS = ROWS // 32


@pytest.fixture
def ray():
    return pytest.importorskip("ray", reason="Ray is not installed: make test-scale")


def workers():
    """Processes of Ray's that hold a classifier."""
    return [
        each
        for each in psutil.process_iter(["name", "cmdline"])
        if "ray::MapWorker" in " ".join(each.info["cmdline"] or [])
    ]


@pytest.mark.ray
def test_the_rows_are_those_of_the_command_also_when_a_worker_dies(ray, tmp_path):
    source = write_digits(tmp_path / "digits", ROWS)
    (source / "a" / "0007.png").write_bytes(b"damaged")
    finish(start(command(source, tmp_path / "here")))
    process = start(command(source, tmp_path / "ray", "--on", "ray", "--ray-workers", "2"))
    while not list((tmp_path / "ray").glob("part-*")) and process.poll() is None:
        time.sleep(0.01)
    killed = [each for each in workers() if process.pid in [parent.pid for parent in each.parents()]]
    killed[0].kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert f"{PARTS} parts for 2 workers" in said
    assert_each_once(tmp_path / "ray", PATHS)
    kept = ("path", "answer", "labels", "model", "error")
    here, there = ([{key: row[key] for key in kept} for row in rows_of(tmp_path / name)] for name in ("here", "ray"))
    assert here == there


@pytest.mark.ray
def test_a_job_goes_on_after_kill_9_of_the_driver_with_one_processor(ray, tmp_path):
    source = write_digits(tmp_path / "digits", ROWS)
    arguments = command(source, tmp_path / "table", "--on", "ray", "--ray-workers", "1", "--cpus-per-worker", "2")
    process = start(arguments)
    while not list((tmp_path / "table").glob("part-*")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    assert 1 <= len(list((tmp_path / "table").glob("part-*"))) < PARTS
    finish(start(arguments))
    assert_each_once(tmp_path / "table", PATHS)


@pytest.mark.parametrize(
    ("cluster", "cpus", "gpus", "parts", "expected"),
    [
        (Cluster(), 8, 0, 100, 8),
        (Cluster(), 8, 0, 3, 3),
        (Cluster(workers=2), 8, 0, 100, 2),
        (Cluster(cpus_per_worker=4), 10, 0, 100, 2),
        (Cluster(gpus_per_worker=0.5), 8, 2, 100, 4),
    ],
)
def test_there_are_as_many_workers_as_have_room(cluster, cpus, gpus, parts, expected):
    assert cluster.worker_count(cpus, gpus, parts) == expected


def test_a_cluster_that_is_too_small_is_refused_rather_than_waited_for():
    with pytest.raises(InputError, match="8 processors and 0 GPUs, too few"):
        Cluster(gpus_per_worker=1).worker_count(8, 0, 10)
    with pytest.raises(ParameterError, match="cpus_per_worker = 0: must be above 0"):
        Cluster(cpus_per_worker=0)
