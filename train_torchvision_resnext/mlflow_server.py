"""The MLflow server that STUDIO shows: find the one that answers, else start one for this machine alone.

A server started here is bound to 127.0.0.1, has no authentication, and belongs to nobody's terminal: it runs in a
session of its own, holds none of the caller's streams, and **stays** when the training ends, because STUDIO opens its
page afterwards; the next training finds and uses it. `stop_server` ends it. A server that was found is never ended.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 3.0
START_TIMEOUT_S = 45.0
"""A cold start of MLflow takes 4 to 15 seconds."""

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class TrackingStore:
    """Where runs are logged.

    Attributes:
        uri: for MLflow's client.
        server_pid: of the server started for this run, also the id of its process group; None where none was started.
        note: what the user should know; empty when all is as configured.
    """

    uri: str
    server_pid: int | None = None
    note: str = ""


def open_store(uri: str, folder: Path) -> TrackingStore:
    """Choose where to log: the server at `uri`, else a new server there over `folder`, else `folder` alone.

    With a server started here, runs are written straight into `folder`, which is what the server shows: quicker than
    through the server, and nothing is lost should it die in the middle.

    Args:
        uri: the configured address, for example `http://localhost:5000`; one without http is MLflow's own affair and
            passed on.
        folder: MLflow's file store, made when needed.
    """
    address = urlsplit(uri)
    if address.scheme not in ("http", "https"):
        return TrackingStore(uri)
    if _is_mlflow(uri):
        logger.info("logging to the MLflow server at %s", uri)
        return TrackingStore(uri)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder.resolve().as_uri()
    reason = _why_not_startable(uri)
    if not reason:
        pid, reason = _start(address.port or 80, uri, folder.resolve())
        if pid is not None:
            logger.info("started an MLflow server at %s (process %d); it stays for STUDIO", uri, pid)
            return TrackingStore(store, server_pid=pid)
    note = f"No MLflow server at {uri}: {reason}. The run is logged to the file store {folder} instead."
    logger.warning(note)
    return TrackingStore(store, note=note)


def stop_server(pid: int) -> None:
    """End a server started here, with its workers, and wait for it. Does nothing if it has ended already."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _is_mlflow(uri: str) -> bool:
    import requests

    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT_S)
    except requests.RequestException:
        return False
    return answer.status_code == 200 and answer.text.strip() == "OK"


def _why_not_startable(uri: str) -> str:
    """Why no server can be started at this address; empty if nothing speaks against it."""
    address = urlsplit(uri)
    if address.scheme != "http" or address.hostname not in THIS_MACHINE or address.path.strip("/"):
        return "it does not answer, and one is started only at an http://localhost:PORT without a path"
    with socket.socket() as probe:
        if sys.platform != "win32":
            # As the server itself does, so that connections just closed do not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", address.port or 80))
        except OSError as error:
            return f"the port is taken by a program that does not answer as MLflow, or not to be had ({error.strerror})"
    return ""


def _start(port: int, uri: str, folder: Path) -> tuple[int | None, str]:
    """Start a server and wait until it answers: its process id, or None and why not."""
    command = _mlflow_command()
    if not command:
        return None, "the program mlflow was not found"
    store = folder.as_uri()
    command += ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--default-artifact-root", store]
    # The folder holds runs, not modules; and newer versions of MLflow would report usage.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    detached = 0
    if sys.platform == "win32":
        detached = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=detached,
        )
    except OSError as error:
        return None, f"it could not be started ({error})"
    try:
        return _wait_for(process, uri)
    except BaseException:
        # The user interrupts: nothing half started may stay.
        stop_server(process.pid)
        raise


def _wait_for(process: subprocess.Popen[bytes], uri: str) -> tuple[int | None, str]:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            return None, f"a server was started and ended at once (exit code {process.returncode})"
        if _is_mlflow(uri):
            return process.pid, ""
        time.sleep(0.2)
    stop_server(process.pid)
    return None, f"a server was started and did not answer within {START_TIMEOUT_S:g} s"


def _mlflow_command() -> list[str]:
    """This Python's own MLflow. Inside STUDIO the executable is no Python, and the script beside it is taken."""
    if Path(sys.executable).stem.lower().startswith("python"):
        return [sys.executable, "-m", "mlflow"]
    script = shutil.which("mlflow", path=str(Path(sys.executable).parent)) or shutil.which("mlflow")
    return [script] if script else []
