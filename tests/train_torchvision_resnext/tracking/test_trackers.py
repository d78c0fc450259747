"""With real MLflow servers on free ports of this machine, ended after the tests."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train_torchvision_resnext.tracking.servers import open_mlflow, stop_server
from train_torchvision_resnext.tracking.trackers import CLIENT_LIMITS, Tracking

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def free_uri():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://localhost:{probe.getsockname()[1]}"


@pytest.fixture
def end_servers():
    pids = []
    yield pids
    for pid in pids:
        stop_server(pid)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "MLflow"


@pytest.fixture
def tensorboard(tmp_path):
    return tmp_path / "Tensorboard"


@pytest.fixture
def offline(store, tensorboard):
    """Tracking at an address where no server can be started."""
    return Tracking("train_test", "https://localhost:1", store, tensorboard)


def runs_at(uri, experiment="train_test"):
    client = MlflowClient(tracking_uri=uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def answers(uri):
    try:
        return requests.get(f"{uri}/health", timeout=3).text == "OK"
    except requests.RequestException:
        return False


def test_constructing_does_nothing(store, tensorboard, free_uri):
    before = psutil.Process().children(recursive=True), threading.active_count(), dict(os.environ)
    tracking = Tracking("train_test", free_uri, store, tensorboard)
    assert (psutil.Process().children(recursive=True), threading.active_count(), dict(os.environ)) == before
    assert not store.exists()
    assert not tensorboard.exists()
    assert not answers(free_uri)
    assert tracking.notes == []
    assert tracking.store is None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address, process id, notes and store of an MLflow server that was there before: who started it has ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://localhost:{probe.getsockname()[1]}"
    place = tmp_path_factory.mktemp("server")
    code = f"""
        from pathlib import Path
        from train_torchvision_resnext.tracking.trackers import Tracking
        place = Path({str(place)!r})
        with Tracking("train_started", {uri!r}, place / "MLflow", place / "Tensorboard") as tracking:
            tracking.log_parameters({{"epochs": 3, "model_name": "resnext50"}})
            tracking.log_metrics({{"val_top1": 0.5}}, step=0)
            tracking.log_metrics({{"val_top1": 0.75}}, step=1)
            tracking.log_artifacts(Path({str(_report(place))!r}))
        print(tracking.store.server_pid, tracking.notes)
    """
    # Reading to the end of the pipe would wait for the server, if that held it.
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    pid, _, notes = ended.stdout.splitlines()[-1].partition(" ")
    yield uri, int(pid), notes, place / "MLflow"
    stop_server(int(pid))


def test_server_is_started_shows_the_run_and_stays(server):
    """Nor does it hold the output of the process that started it, or `server` would not be here."""
    uri, pid, notes, _ = server
    assert notes == "[]"
    assert answers(uri), "the server must outlive the run"
    (run,) = runs_at(uri, "train_started")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "3", "model_name": "resnext50"}
    assert run.data.metrics == {"val_top1": 0.75}
    assert _artifacts(uri, run) == ["report/curves.png", "report/pages/report.html"]

    started = psutil.Process(pid)
    listening = {
        c.laddr
        for process in [started, *started.children(recursive=True)]
        for c in process.net_connections()
        if c.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", urlsplit(uri).port)}


def test_server_of_this_home_shows_the_run_and_is_left_alone(tmp_path, tensorboard, server):
    uri, _, _, own = server
    with Tracking("train_found", uri, own, tensorboard) as tracking:
        tracking.log_parameters({"epochs": 3})
        tracking.log_metrics({"loss": 1.5}, step=0)
        tracking.log_artifacts(_report(tmp_path))
    assert (tracking.notes, tracking.store.server_pid, tracking.store.uri) == ([], None, own.as_uri())
    assert answers(uri)
    (run,) = runs_at(uri, "train_found")
    assert run.info.status == "FINISHED"
    assert (run.data.params, run.data.metrics) == ({"epochs": "3"}, {"loss": 1.5})
    assert _artifacts(uri, run) == ["report/curves.png", "report/pages/report.html"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_server_of_another_home_gets_nothing(host, tmp_path, store, tensorboard, server):
    uri, _, _, theirs = server
    before = sorted(theirs.rglob("*"))
    address = uri.replace("localhost", host)
    with Tracking("train_secret", address, store, tensorboard) as tracking:
        tracking.log_parameters({"epochs": 3})
        tracking.log_metrics({"loss": 1.5}, step=0)
        tracking.log_artifacts(_report(tmp_path))
    assert tracking.notes == [
        f"No MLflow server at {address}: the program that answers there does not show {store}, so that it belongs to "
        f"another user or home. The run is logged to the file store {store} instead."
    ]
    assert sorted(theirs.rglob("*")) == before
    (run,) = runs_at(store.as_uri(), "train_secret")
    assert (run.data.params, run.data.metrics) == ({"epochs": "3"}, {"loss": 1.5})
    assert _artifacts(store.as_uri(), run) == ["report/curves.png", "report/pages/report.html"]


@pytest.fixture
def named(monkeypatch):
    """Give this machine the name of another one, as a line in /etc/hosts does: an address → one by that name."""
    look_up = socket.getaddrinfo

    def with_name(host, *args, **kwargs):
        return look_up("127.0.0.1" if host == "mlflow.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", with_name)
    return lambda uri: uri.replace("localhost", "mlflow.example")


def test_server_on_another_machine_is_used(tmp_path, store, tensorboard, server, named):
    uri, *_ = server
    with Tracking("train_there", named(uri), store, tensorboard) as tracking:
        tracking.log_metrics({"loss": 1.5}, step=0)
    assert (tracking.notes, tracking.store.server_pid, tracking.store.uri) == ([], None, named(uri))
    assert [run.data.metrics for run in runs_at(uri, "train_there")] == [{"loss": 1.5}]
    assert not store.exists(), "what is at the server need not be in the file store too"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot halt a process by a signal")
def test_server_that_hangs_in_the_middle(store, tensorboard, server, named, monkeypatch):
    uri, pid, *_ = server
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with Tracking("train_test", named(uri), store, tensorboard) as tracking:
        os.killpg(pid, signal.SIGSTOP)
        try:
            tracking.log_metrics({"loss": 1.0}, step=0)
            tracking.log_metrics({"loss": 0.5}, step=1)
        finally:
            os.killpg(pid, signal.SIGCONT)
    (note,) = tracking.notes
    assert note.startswith("MLflow failed and is left out for the rest of the run: ")
    assert _scalars(tensorboard, "loss") == [(0, 1.0), (1, 0.5)]


def test_server_that_dies_in_the_middle(store, tensorboard, free_uri, end_servers, named):
    end_servers.append(open_mlflow(free_uri, store).server_pid)
    with Tracking("train_test", named(free_uri), store, tensorboard) as tracking:
        tracking.log_metrics({"loss": 2.0}, step=0)
        stop_server(end_servers.pop())
        _until(lambda: not answers(free_uri))
        tracking.log_metrics({"loss": 1.0}, step=1)
        tracking.log_metrics({"loss": 0.5}, step=2)
    (note,) = tracking.notes
    assert note.startswith("MLflow failed and is left out for the rest of the run: ")
    assert _scalars(tensorboard, "loss") == [(0, 2.0), (1, 1.0), (2, 0.5)]


class _Strange(http.server.BaseHTTPRequestHandler):
    """Answers as healthy as MLflow, and knows nothing else."""

    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(b"OK")

    do_POST = do_GET  # noqa: N815 (the base class's naming)

    def log_message(self, *args):
        pass


def note_beside(program, store, tensorboard, address=str):
    """The address of another program, and the note of a training that was logged while it answered there."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), program) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        uri = address(f"http://localhost:{other.server_port}")
        with Tracking("train_test", uri, store, tensorboard) as tracking:
            tracking.log_metrics({"loss": 1.0}, step=0)
        other.shutdown()
    (note,) = tracking.notes
    return uri, note


def test_a_healthy_program_that_takes_no_runs(store, tensorboard, named):
    uri, note = note_beside(_Strange, store, tensorboard, named)
    assert note.startswith(f"No MLflow server at {uri}: it takes no run (")
    assert len(runs_at(store.as_uri())) == 1


def test_a_healthy_program_that_shows_no_runs(store, tensorboard):
    uri, note = note_beside(_Strange, store, tensorboard)
    assert note.startswith(f"No MLflow server at {uri}: the program that answers there does not show {store}")
    assert [run.data.metrics for run in runs_at(store.as_uri())] == [{"loss": 1.0}]


class _NotMlflow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_port_taken_by_another_program(store, tensorboard):
    uri, note = note_beside(_NotMlflow, store, tensorboard)
    assert note.startswith(
        f"No MLflow server at {uri}: the port is taken by a program that does not answer as it would"
    )
    assert note.endswith(f"The run is logged to the file store {store} instead.")
    assert [run.data.metrics for run in runs_at(store.as_uri())] == [{"loss": 1.0}]


def test_server_that_ends_at_once(store, tensorboard, free_uri, monkeypatch):
    # The variable that names gunicorn's options ends it: `--check-config` looks at them and leaves.
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--check-config")
    with Tracking("train_test", free_uri, store, tensorboard) as tracking:
        tracking.log_metrics({"loss": 1.0}, step=0)
    (note,) = tracking.notes
    assert "a server was started and ended at once" in note
    assert len(runs_at(store.as_uri())) == 1


@pytest.mark.parametrize("uri", ["https://localhost:1", "http://localhost:1/prefix", "http://mlflow.invalid:5000"])
def test_address_where_none_can_be_started(store, uri):
    found = open_mlflow(uri, store)
    assert found.server_pid is None
    assert found.uri == store.as_uri()
    assert f"No MLflow server at {uri}: it does not answer, and one is started only at an http" in found.note


def test_address_without_a_server_is_mlflows_own_affair(tmp_path, store, tensorboard):
    uri = (tmp_path / "elsewhere").as_uri()
    with Tracking("train_test", uri, store, tensorboard) as tracking:
        tracking.log_metrics({"loss": 1.0}, step=0)
    assert tracking.notes == []
    assert len(runs_at(uri)) == 1
    assert not store.exists()


def test_tensorboard_files_lie_where_studio_looks(offline, tensorboard):
    with offline as tracking:
        tracking.log_parameters({"optimizer": "sgd", "layers": "1|2"})
        tracking.log_metrics({"val_top1": 0.5, "train_loss": 2.0}, step=0)
        tracking.log_metrics({"val_top1": 0.75}, step=1)
    assert _scalars(tensorboard, "val_top1") == [(0, 0.5), (1, 0.75)]
    assert _scalars(tensorboard, "train_loss") == [(0, 2.0)]
    (run,) = (tensorboard / "train_test").iterdir()
    assert [file.name[:20] for file in run.iterdir()] == ["events.out.tfevents."]


def test_tensorboard_is_started_stays_and_is_found(store, tensorboard, free_uri, end_servers):
    first = Tracking("train_test", "https://localhost:1", store, tensorboard, tensorboard_uri=free_uri)
    with first:
        end_servers.append(first.tensorboard_pid)
        first.log_metrics({"loss": 1.0}, step=0)
    runs = f"{free_uri}/data/runs"
    _until(lambda: requests.get(runs, timeout=10).json())
    assert requests.get(runs, timeout=10).json()[0].startswith("train_test")
    second = Tracking("train_test", "https://localhost:1", store, tensorboard, tensorboard_uri=free_uri)
    with second:
        assert second.tensorboard_pid is None
    assert len(first.notes) == len(second.notes) == 1, "MLflow's alone"
    of_another_home = tensorboard.with_name("another")
    with Tracking("train_test", "https://localhost:1", store, of_another_home, tensorboard_uri=free_uri) as third:
        third.log_metrics({"loss": 2.0}, step=0)
    assert third.tensorboard_pid is None
    assert third.notes[1] == (
        f"No TensorBoard at {free_uri}: the one there shows another folder, so that it belongs to another "
        f"user or home. Its files lie in {of_another_home}."
    )
    assert _scalars(of_another_home, "loss") == [(0, 2.0)]


def test_tensorboard_that_cannot_be_started_is_noted(store, tensorboard):
    with Tracking("train_test", "https://localhost:1", store, tensorboard, "https://localhost:1") as tracking:
        tracking.log_metrics({"loss": 1.0}, step=0)
    assert tracking.notes[1].startswith("No TensorBoard at https://localhost:1: it does not answer")
    assert _scalars(tensorboard, "loss") == [(0, 1.0)]


def test_many_parameters_and_any_names(offline, store):
    with offline as tracking:
        tracking.log_parameters({f"parameter {index}": index for index in range(250)})
        tracking.log_metrics({"recall/bee, honey (Käfer)": 0.5}, step=0)
    (run,) = runs_at(store.as_uri())
    assert len(run.data.params) == 250
    assert run.data.metrics == {"recall/bee_ honey _Käfer_": 0.5}
    assert len(tracking.notes) == 1


def test_artifacts_are_logged_as_they_lie(tmp_path, offline, store):
    single = tmp_path / "model.onnx"
    single.write_bytes(b"onnx")
    with offline as tracking:
        tracking.log_artifacts(_report(tmp_path))
        tracking.log_artifacts(single)
    (run,) = runs_at(store.as_uri())
    assert _artifacts(store.as_uri(), run) == ["model.onnx", "report/curves.png", "report/pages/report.html"]


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_off_says_so(offline, store, error, status):
    with pytest.raises(error, match="in epoch 2"), offline:
        raise error("in epoch 2")
    assert [run.info.status for run in runs_at(store.as_uri())] == [status]


def test_folders_that_cannot_be_written_fail_no_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    tracking = Tracking("train_test", "https://localhost:1", tmp_path / "file", tmp_path / "file")
    with tracking:
        tracking.log_parameters({"epochs": 1})
        tracking.log_metrics({"loss": 1.0}, step=0)
        tracking.log_artifacts(tmp_path / "nothing")
    assert [note.partition(":")[0] for note in tracking.notes] == [
        "MLflow cannot be used",
        "TensorBoard cannot be used",
    ]


def test_artifact_that_is_not_there_is_noted(tmp_path, offline):
    with offline as tracking:
        tracking.log_artifacts(tmp_path / "nothing")
    assert tracking.notes[-1].startswith("MLflow failed and is left out for the rest of the run:")


def test_deleted_experiment_stays_deleted(offline, store, tensorboard):
    client = MlflowClient(tracking_uri=store.as_uri())
    client.delete_experiment(client.create_experiment("train_test"))
    with offline as tracking:
        tracking.log_metrics({"loss": 1.0}, step=0)
    assert len(tracking.notes) == 1
    (experiment,) = [found for found in client.search_experiments() if found.name.startswith("train_test")]
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_a_run_killed_while_it_was_logged_costs_the_next_ones_nothing(offline, store, tensorboard, tmp_path):
    memo = tmp_path / "mlflow_run.txt"
    with Tracking("train_test", store.as_uri(), store, tensorboard).of_run("killed", memo) as tracking:
        tracking.log_metrics({"loss": 1.0}, step=0)
    killed = memo.read_text()
    (metric,) = store.glob(f"*/{killed}/metrics/loss")
    metric.write_text("")
    with offline.of_run("beside", tmp_path / "beside.txt") as tracking:
        tracking.end_abandoned([memo, tmp_path / "none.txt"])
        tracking.log_metrics({"loss": 0.5}, step=0)
    assert [note.partition(":")[0] for note in tracking.notes] == ["No MLflow server at https"]
    with Tracking("train_test", store.as_uri(), store, tensorboard).of_run("killed", memo) as again:
        again.log_metrics({"loss": 0.5}, step=1)
    assert again.notes == []
    assert memo.read_text() != killed
    assert [metric.read_text().split()[1] for metric in store.glob(f"*/{memo.read_text()}/metrics/loss")] == ["0.5"]


def test_environment_is_as_before(offline, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    before = dict(os.environ)
    with offline:
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == CLIENT_LIMITS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
    assert dict(os.environ) == before


TASK = """
    import json, os, sys
    from pathlib import Path
    import psutil
    from ikomia.core import IODataType
    from ikomia.dataprocess import CDnnTrainTask, CPathIO
    from train_torchvision_resnext.tracking.trackers import Tracking

    class Task(CDnnTrainTask):
        def get_progress_steps(self):
            return 1

        def run(self):
            self.begin_task_run()
            with Tracking(self.name, "https://localhost:1", Path("store"), Path("board")) as tracking:
                tracking.log_metrics({"loss": 1.0}, 0)
            self.emit_step_progress()
            self.end_task_run()

    task = Task("train_proof", None)
    task.add_input(CPathIO(IODataType.FOLDER_PATH))
    me = psutil.Process()
    constructed = len(me.children(recursive=True)), len(me.net_connections()), os.listdir()
    task.run()
    print(json.dumps([constructed, len(me.children(recursive=True)), sorted(os.listdir())]))
"""


def test_inside_a_training_task_of_ikomia(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TASK)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "IKOMIA_AUTO_COMPLETION": "False"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    constructed, children, files = json.loads(ended.stdout.splitlines()[-1])
    assert constructed == [0, 0, []], "constructing the task starts no process, opens no socket, writes no file"
    assert children == 0
    assert files == ["board", "store"], "and nothing lies in a folder mlruns"
    (run,) = runs_at((tmp_path / "store").as_uri(), "train_proof")
    assert run.data.metrics == {"loss": 1.0}


def _report(tmp_path):
    report = tmp_path / "report"
    (report / "pages").mkdir(parents=True, exist_ok=True)
    (report / "curves.png").write_bytes(b"png")
    (report / "pages" / "report.html").write_text("<html>")
    return report


def _artifacts(uri, run):
    client = MlflowClient(tracking_uri=uri)

    def below(path):
        for entry in client.list_artifacts(run.info.run_id, path):
            yield from below(entry.path) if entry.is_dir else [entry.path]

    return sorted(below(None))


def _scalars(folder, name):
    (run,) = (folder / "train_test").iterdir()
    events = EventAccumulator(str(run)).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def _until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_a_server_that_drips_holds_nothing_up(store, tensorboard):
    """A byte each second keeps any limit from one byte to the next."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                with contextlib.suppress(OSError):
                    while not ended.wait(0.5):
                        connection.sendall(b"O")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            uri = f"http://localhost:{server.getsockname()[1]}"
            with Tracking("train_test", uri, store, tensorboard) as tracking:
                tracking.log_metrics({"loss": 1.0}, 1)
            assert dripping.is_alive(), "the server gave up, and proved nothing"
        finally:
            ended.set()
            dripping.join()
    assert any("file store" in note for note in tracking.notes)
