"""Log a run to MLflow and TensorBoard. Tracking never fails a training: what fails is dropped, noted and logged.

How it lives with the host. Ikomia's Python class for training tasks, `TrainProcess`, starts both servers in its
constructor, MLflow's open to the whole network, and logs to MLflow's global state, which without that server means a
folder `mlruns` wherever the user happens to be. A task that tracks with this module is therefore derived from
`CDnnTrainTask`, as `TrainProcess` is, and opens `Tracking` in `run`, with the addresses of Ikomia's configuration. To
STUDIO it is the same kind of task: its pages of curves are opened by `CDnnTrainTask`.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from typing_extensions import Self

from .local_server import ServerError
from .servers import TrackingStore, file_store, open_mlflow, open_tensorboard

logger = logging.getLogger(__name__)

CLIENT_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""A server that hangs costs the training 40 seconds, once; MLflow's own limits add up to a quarter of an hour a
request. What the user has set in the environment stays."""

MLFLOW_RUN, TENSORBOARD_RUN = "mlflow_run_id", "tensorboard_folder"

PARAMETERS_A_REQUEST = 100
"""MLflow's limit."""


class _Tracker(Protocol):
    """One place that a run is logged to."""

    name: str

    def log_parameters(self, parameters: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None: ...

    def log_artifacts(self, path: Path) -> None: ...

    def end_abandoned(self, runs: Iterable[str]) -> None: ...

    def close(self, status: str) -> None: ...


class Tracking:
    """A run, logged to whatever can be had. Constructing it does nothing; entering it opens the trackers.

    Args:
        name: of the MLflow experiment, and of the folder among TensorBoard's; runs are named by the time they start.
        mlflow_uri: the address of the MLflow server, as configured in the host.
        mlflow_store: the folder that a server started here shows, and that is logged to without one.
        tensorboard_dir: the folder that STUDIO's TensorBoard shows.
        tensorboard_uri: the address of that TensorBoard, started if it does not answer; empty = event files only.
    """

    def __init__(
        self, name: str, mlflow_uri: str, mlflow_store: Path, tensorboard_dir: Path, tensorboard_uri: str = ""
    ) -> None:
        self.name = name
        self._title = ""
        self._memo: Path | None = None
        self._known: dict[str, str] = {}
        self.notes: list[str] = []
        """What the user should know, one sentence each."""
        self.store: TrackingStore | None = None
        """Where MLflow logs to, with the process id of a server started for it; None before the run or without one."""
        self.tensorboard_pid: int | None = None
        """Process id of the TensorBoard started for this run."""
        self._mlflow_uri = mlflow_uri
        self._mlflow_store = mlflow_store
        self._tensorboard_dir = tensorboard_dir
        self._tensorboard_uri = tensorboard_uri
        self._trackers: list[_Tracker] = []
        self._limits: set[str] = set()

    def of_run(self, title: str, memo: Path) -> Self:
        """Say which run it is, before entering.

        Args:
            title: begins its name; the time it starts follows.
            memo: a file that remembers it, so that the same one goes on when the training does.
        """
        self._title, self._memo, self._known = title, memo, _read_memo(memo)
        return self

    def __enter__(self) -> Self:
        self._limits = {key for key in CLIENT_LIMITS if key not in os.environ}
        os.environ.update({key: CLIENT_LIMITS[key] for key in self._limits})
        run = f"{self._title} {datetime.now():%Y-%m-%d_%H-%M-%S}".strip()
        with self._noted("MLflow cannot be used"):
            self._open_mlflow(run)
        with self._noted("TensorBoard cannot be used"):
            self._open_tensorboard(run)
        if self._memo is not None:
            with self._noted("the run cannot be remembered"):
                self._memo.write_text(json.dumps(self._known), encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        status = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._each(lambda tracker: tracker.close(status))
        self._trackers.clear()
        for key in self._limits:
            os.environ.pop(key, None)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log settings, under their names; values are written as text."""
        self._each(lambda tracker: tracker.log_parameters(parameters))

    def end_abandoned(self, memos: Iterable[Path]) -> None:
        """Mark runs that a killed training left as killed where they are still said to run.

        Args:
            memos: of trainings that nobody is at any more.
        """
        known = [memo[MLFLOW_RUN] for memo in map(_read_memo, memos) if MLFLOW_RUN in memo]
        self._each(lambda tracker: tracker.end_abandoned(known))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log figures of one epoch or step."""
        self._each(lambda tracker: tracker.log_metrics(metrics, step))

    def log_artifacts(self, path: Path) -> None:
        """Log a file, or a folder with all that is in it under the folder's name."""
        self._each(lambda tracker: tracker.log_artifacts(path))

    def _open_mlflow(self, name: str) -> None:
        self.store = open_mlflow(self._mlflow_uri, self._mlflow_store)
        known = self._known.get(MLFLOW_RUN)
        try:
            run = _Mlflow(self.store.uri, self.name, name, known)
        except Exception as error:
            # A program may answer as MLflow does and be none, or be one that refuses to log.
            if self.store.uri != self._mlflow_uri:
                raise
            self.store = file_store(self._mlflow_uri, self._mlflow_store, f"it takes no run ({_reason(error)})")
            run = _Mlflow(self.store.uri, self.name, name, known)
        if self.store.note:
            self.notes.append(self.store.note)
        self._known[MLFLOW_RUN] = run.run_id
        self._trackers.append(run)

    def _open_tensorboard(self, name: str) -> None:
        folder = self._known.setdefault(TENSORBOARD_RUN, re.sub(r"[^\w.-]", "_", name))
        self._trackers.append(_TensorBoard(self._tensorboard_dir / self.name / folder))
        if not self._tensorboard_uri:
            return
        try:
            self.tensorboard_pid = open_tensorboard(self._tensorboard_uri, self._tensorboard_dir)
        except ServerError as error:
            self.notes.append(
                f"No TensorBoard at {self._tensorboard_uri}: {error}. Its files lie in {self._tensorboard_dir}."
            )
            logger.warning(self.notes[-1])

    def _each(self, action: Callable[[_Tracker], None]) -> None:
        for tracker in list(self._trackers):
            failure = f"{tracker.name} failed and is left out for the rest of the run"
            with self._noted(failure, lambda tracker=tracker: self._trackers.remove(tracker)):  # type: ignore[misc]
                action(tracker)

    @contextmanager
    def _noted(self, what: str, then: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Turn any error into a note: hours of training must not end because a page of curves cannot be written."""
        try:
            yield
        except Exception as error:
            self.notes.append(f"{what}: {_reason(error)}")
            logger.warning("%s", self.notes[-1], exc_info=logger.isEnabledFor(logging.DEBUG))
            then()


class _Mlflow:
    """A run in MLflow, through its client: the global state belongs to the host and to other tasks."""

    name = "MLflow"

    def __init__(self, uri: str, experiment: str, run: str, known: str | None) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._logged: set[str] = set()
        self.run_id: str = known or ""
        if known:
            try:
                # MLflow refuses to be told a parameter anew.
                self._logged = set(self._client.get_run(known).data.params)
                self._client.update_run(known, status="RUNNING")
            except MlflowException as error:
                logger.info("the run %s cannot go on in MLflow, another one begins: %s", known, error)
            else:
                return
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            experiment_id = self._client.create_experiment(experiment)
        elif found.lifecycle_stage == "active":
            experiment_id = found.experiment_id
        else:
            # The user has deleted it; its name stays taken, and its deletion is not ours to undo.
            experiment_id = self._client.create_experiment(f"{experiment} {run}")
        self.run_id = self._client.create_run(experiment_id, run_name=run).info.run_id

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        new = {_key(name): str(value) for name, value in parameters.items()}
        entries = (Param(key, value) for key, value in new.items() if key not in self._logged)  # type: ignore[no-untyped-call]
        while batch := list(islice(entries, PARAMETERS_A_REQUEST)):
            self._client.log_batch(self.run_id, params=batch, synchronous=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now_ms = int(datetime.now().timestamp() * 1000)
        entries = [
            Metric(_key(name), float(value), now_ms, step)  # type: ignore[no-untyped-call]
            for name, value in metrics.items()
        ]
        self._client.log_batch(self.run_id, metrics=entries, synchronous=True)

    def log_artifacts(self, path: Path) -> None:
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), artifact_path=path.name)
        else:
            self._client.log_artifact(self.run_id, str(path))

    def end_abandoned(self, runs: Iterable[str]) -> None:
        from mlflow.exceptions import MlflowException

        for run in runs:
            # It may have been deleted, or be of another server.
            with suppress(MlflowException):
                if self._client.get_run(run).info.status == "RUNNING":
                    self._client.set_terminated(run, "KILLED")

    def close(self, status: str) -> None:
        self._client.set_terminated(self.run_id, status)


class _TensorBoard:
    """An event file. Pictures and models stay where they are: TensorBoard keeps none."""

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        rows = [f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in parameters.items()]
        self._writer.add_text("parameters", "\n".join(["| parameter | value |", "|---|---|", *rows]))
        self._writer.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        # So that the page shows the epoch while the next one runs.
        self._writer.flush()

    def log_artifacts(self, path: Path) -> None:
        pass

    def end_abandoned(self, runs: Iterable[str]) -> None:
        pass

    def close(self, status: str) -> None:
        self._writer.close()


def _read_memo(memo: Path | None) -> dict[str, str]:
    """Names of the run in each tracker; empty where nothing is remembered."""
    if memo is None:
        return {}
    try:
        content = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = content if isinstance(content, dict) else {}
    return {key: known[key] for key in (MLFLOW_RUN, TENSORBOARD_RUN) if _is_name(known.get(key))}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value) is not None


def _reason(error: Exception) -> str:
    """An error's first line; MLflow's may hold whole pages."""
    return f"{error}".strip().partition("\n")[0] or type(error).__name__


def _key(name: str) -> str:
    """A name as MLflow takes it: letters, digits, `_`, `-`, `.`, `:`, `/` and spaces."""
    return re.sub(r"[^/\w.\- :]", "_", name)
