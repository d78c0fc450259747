"""Log a run to MLflow and TensorBoard. Tracking never fails a training: what fails is dropped, noted and logged.

How it lives with the host. Ikomia's Python class for training tasks, `TrainProcess`, starts both servers in its
constructor, MLflow's open to the whole network, and logs to MLflow's global state, which without that server means a
folder `mlruns` wherever the user happens to be. A task that tracks with this module is therefore derived from
`CDnnTrainTask`, as `TrainProcess` is, and opens `Tracking` in `run`, with the addresses of Ikomia's configuration. To
STUDIO it is the same kind of task: its pages of curves are opened by `CDnnTrainTask`.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from ..resnext.machine.devices import first_line
from .servers import ServerError, TrackingStore, file_store, foreign_server, open_mlflow, open_tensorboard

logger = logging.getLogger(__name__)

CLIENT_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""A server that hangs costs the training 40 seconds, once; MLflow's own limits add up to a quarter of an hour a
request. What the user has set in the environment stays."""


@dataclass
class Tracking:
    """A run, logged to this home's folders or to a server on another machine. Entering it opens the trackers.

    Attributes:
        experiment: the name of MLflow's experiment, and of the folder among TensorBoard's.
        mlflow_uri: the address of the MLflow server, as configured in the host.
        mlflow_store: the folder that a server started here shows, and that is logged to without one.
        tensorboard_dir: the folder that STUDIO's TensorBoard shows.
        tensorboard_uri: the address of that TensorBoard, started if it does not answer; empty = event files only.
        notes: what the user should know, one sentence each.
        store: where MLflow logs to, and the process id of a server started for it; None before the run or without one.
        tensorboard_pid: process id of the TensorBoard started for this run.
    """

    experiment: str
    mlflow_uri: str
    mlflow_store: Path
    tensorboard_dir: Path
    tensorboard_uri: str = ""
    notes: list[str] = field(default_factory=list, init=False)
    store: TrackingStore | None = field(default=None, init=False)
    tensorboard_pid: int | None = field(default=None, init=False)
    _run: str = field(default="", init=False)
    _memo: Path | None = field(default=None, init=False)
    _trackers: "list[_Mlflow | _TensorBoard]" = field(default_factory=list, init=False)
    _limits: Mapping[str, str] = field(default_factory=dict, init=False)

    @classmethod
    def of_host(cls, experiment: str, configuration: Mapping[str, Any]) -> Self:
        """With the addresses and folders of Ikomia's configuration."""
        mlflow, tensorboard = configuration["mlflow"], configuration["tensorboard"]
        return cls(
            experiment,
            mlflow["tracking_uri"],
            Path(mlflow["store_uri"]),
            Path(tensorboard["log_uri"]),
            tensorboard["tracking_uri"],
        )

    def of_run(self, name: str, memo: Path) -> Self:
        """Say which run it is, before entering; without a name it is the present time.

        Args:
            name: of the run, in MLflow and among TensorBoard's folders; the same when it goes on.
            memo: a file for MLflow's id of the run, so that the same one goes on when the training does.
        """
        self._run, self._memo = name, memo
        return self

    def __enter__(self) -> Self:
        self._limits = {key: limit for key, limit in CLIENT_LIMITS.items() if key not in os.environ}
        os.environ.update(self._limits)
        run = self._run or f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        with self._noted("MLflow cannot be used"):
            self._open_mlflow(run)
        with self._noted("TensorBoard cannot be used"):
            self._open_tensorboard(run)
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

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log figures of one epoch or step."""
        self._each(lambda tracker: tracker.log_metrics(metrics, step))

    def log_artifacts(self, path: Path) -> None:
        """Log a file, or a folder with all that is in it under the folder's name."""
        self._each(lambda tracker: tracker.log_artifacts(path))

    def end_abandoned(self, memos: Iterable[Path]) -> None:
        """Mark runs that a killed training left as killed where they are still said to run.

        Args:
            memos: of trainings that nobody is at any more.
        """
        runs = list(filter(None, map(_remembered, memos)))
        self._each(lambda tracker: tracker.end_abandoned(runs))

    def _open_mlflow(self, name: str) -> None:
        known = _remembered(self._memo) if self._memo else ""
        self.store = open_mlflow(self.mlflow_uri, self.mlflow_store)
        try:
            run = _Mlflow(self.store.uri, self.experiment, name, known)
        except Exception as error:
            # A program may answer as MLflow does and be none, or be one that refuses to log.
            if self.store.uri != self.mlflow_uri:
                raise
            self.store = file_store(self.mlflow_uri, self.mlflow_store, f"it takes no run ({first_line(error)})")
            run = _Mlflow(self.store.uri, self.experiment, name, known)
        if self.store.uri != self.mlflow_uri and self.store.server_pid is None and not self.store.note:
            self.store = foreign_server(self.mlflow_uri, self.mlflow_store, run.run_id) or self.store
        if self.store.note:
            self.notes.append(self.store.note)
        self._trackers.append(run)
        if self._memo:
            with self._noted("the run cannot be remembered"):
                self._memo.write_text(run.run_id, encoding="utf-8")

    def _open_tensorboard(self, name: str) -> None:
        self._trackers.append(_TensorBoard(self.tensorboard_dir / self.experiment / re.sub(r"[^\w.-]", "_", name)))
        if not self.tensorboard_uri:
            return
        try:
            self.tensorboard_pid = open_tensorboard(self.tensorboard_uri, self.tensorboard_dir)
        except ServerError as error:
            self.notes.append(
                f"No TensorBoard at {self.tensorboard_uri}: {error}. Its files lie in {self.tensorboard_dir}."
            )
            logger.warning(self.notes[-1])

    def _each(self, action: "Callable[[_Mlflow | _TensorBoard], None]") -> None:
        for tracker in list(self._trackers):
            with self._noted(f"{tracker.name} failed and is left out for the rest of the run"):
                action(tracker)
                continue
            self._trackers.remove(tracker)

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """Turn any error into a note: hours of training must not end because a page of curves cannot be written."""
        try:
            yield
        except Exception as error:
            self.notes.append(f"{what}: {first_line(error)}")
            logger.warning("%s", self.notes[-1], exc_info=logger.isEnabledFor(logging.DEBUG))


class _Mlflow:
    """A run in MLflow, through its client: the global state belongs to the host and to other tasks."""

    name = "MLflow"

    def __init__(self, uri: str, experiment: str, run: str, known: str) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._logged: set[str] = set()
        self.run_id = known
        if known:
            try:
                # MLflow refuses to be told a parameter again.
                self._logged = set(self._client.get_run(known).data.params)
                self._client.update_run(known, status="RUNNING")
            except (MlflowException, ValueError) as error:
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
        entries = [Param(key, value) for key, value in new.items() if key not in self._logged]  # type: ignore[no-untyped-call]
        self._client.log_batch(self.run_id, params=entries, synchronous=True)

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
            # It may have been deleted, be of another server, or be half written in the file store (ValueError).
            with suppress(MlflowException, ValueError):
                if self._client.get_run(run).info.status == "RUNNING":
                    self._client.set_terminated(run, "KILLED")

    def close(self, status: str) -> None:
        self._client.set_terminated(self.run_id, status)


class _TensorBoard:
    """An event file."""

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
        """Nothing: pictures and models stay where they are."""

    def end_abandoned(self, runs: Iterable[str]) -> None:
        """Nothing: no run is said to run."""

    def close(self, status: str) -> None:
        self._writer.close()


def _remembered(memo: Path) -> str:
    """MLflow's id of a run; empty where none is remembered."""
    with suppress(OSError, ValueError):
        return memo.read_text(encoding="utf-8")
    return ""


def _key(name: str) -> str:
    """A name as MLflow takes it: letters, digits, `_`, `-`, `.`, `:`, `/` and spaces."""
    return re.sub(r"[^/\w.\- :]", "_", name)
