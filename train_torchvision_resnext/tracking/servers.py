"""The pages that STUDIO shows, MLflow's and TensorBoard's: find the server that answers, else start one.

On this machine any user's server may have the port. Therefore nothing is sent to a server here: runs are written into
this home's folders, which a server of this home shows. Whether the one that answers does is asked of it by what only
those folders hold; where it does not, a note says so. A server on another machine is the user's own choice, and used.

A server started here is bound to 127.0.0.1, has no authentication, and belongs to nobody's terminal: it runs in a
session of its own, holds none of the caller's streams, and **stays** when the training ends, because STUDIO opens its
page afterwards; the next training finds and uses it. `stop_server` ends it. A server that was found is never ended.
"""

import contextlib
import ipaddress
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 3.0
START_TIMEOUT_S = 45.0
"""A cold start takes 3 to 15 seconds."""

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class ServerError(RuntimeError):
    """No server can be started; the message says why."""


@dataclass(frozen=True)
class TrackingStore:
    """Where MLflow logs runs to.

    Attributes:
        uri: for MLflow's client.
        server_pid: of the server started for this run; None where none was.
        note: what the user should know; empty when all is as configured.
    """

    uri: str
    server_pid: int | None = None
    note: str = ""


def open_mlflow(uri: str, folder: Path) -> TrackingStore:
    """Choose where to log: the server at `uri` if it is on another machine, else `folder`.

    If no server answers on this machine, one is started that shows `folder`. If one does, `foreign_server` tells whose
    it is. Runs are written straight into the folder: quicker than through a server, and nothing is lost should it die
    in the middle.

    Args:
        uri: the configured address, for example `http://localhost:5000`; one without http is MLflow's own affair and
            passed on.
        folder: MLflow's file store, made when needed.

    Raises:
        OSError: the folder cannot be made.
    """
    if urlsplit(uri).scheme not in ("http", "https"):
        return TrackingStore(uri)
    answers, here = _is_mlflow(uri), _is_this_machine(uri)
    if answers and not here:
        logger.info("logging to the MLflow server at %s", uri)
        return TrackingStore(uri)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder.resolve().as_uri()
    if answers:
        return TrackingStore(store)
    arguments = ("server", "--backend-store-uri", store, "--default-artifact-root", store, "--workers", "1")
    try:
        pid = _start("mlflow", arguments, folder, uri, _is_mlflow)
    except ServerError as error:
        return file_store(uri, folder, f"{error}")
    logger.info("started an MLflow server at %s (process %d); it stays for STUDIO", uri, pid)
    return TrackingStore(store, server_pid=pid)


def file_store(uri: str, folder: Path, reason: str) -> TrackingStore:
    """Log to the folder because no server at `uri` takes the run."""
    note = f"No MLflow server at {uri}: {reason}. The run is logged to the file store {folder} instead."
    logger.warning(note)
    return TrackingStore(folder.resolve().as_uri(), note=note)


def foreign_server(uri: str, folder: Path, run_id: str) -> TrackingStore | None:
    """Whether the MLflow server on this machine shows another folder; None if it shows this one, or is elsewhere.

    Args:
        run_id: of a run in `folder`, by which a server proves that it shows this folder. It is random: no other has it.
    """
    if not _is_this_machine(uri) or run_id in _page(f"{uri.rstrip('/')}/api/2.0/mlflow/runs/get?run_id={run_id}"):
        return None
    reason = f"the program that answers there does not show {folder}, so that it belongs to another user or home"
    return file_store(uri, folder, reason)


def open_tensorboard(uri: str, folder: Path) -> int | None:
    """Find the TensorBoard at `uri`, else start one there over `folder`, which exists.

    Returns:
        The process id of the one started; None where one was found.

    Raises:
        ServerError: none answers, and none can be started; or the one on this machine shows another folder.
    """
    if _is_tensorboard(uri):
        if _is_this_machine(uri) and not _shows(uri, folder):
            raise ServerError("the one there shows another folder, so that it belongs to another user or home")
        return None
    pid = _start("tensorboard.main", ("--logdir", str(folder.resolve())), folder, uri, _is_tensorboard)
    logger.info("started a TensorBoard at %s (process %d); it stays for STUDIO", uri, pid)
    return pid


def stop_server(pid: int) -> None:
    """End a server started here, with its workers, and wait for it. Does nothing if it has ended already."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    # Some systems call a process that has ended and not been waited for forbidden.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _start(module: str, arguments: tuple[str, ...], folder: Path, uri: str, answers: Callable[[str], bool]) -> int:
    """Start a server at an address of this machine and wait until it answers.

    Args:
        module: of Python, whose first name is that of its program too.
        arguments: without host and port, which are added.
        folder: where it stands, so that neither the user's folder is held nor anything written to it.
        uri: `http://localhost:PORT`.
        answers: whether the server answers at an address.

    Returns:
        Its process id, on POSIX also the id of its process group.

    Raises:
        ServerError: another program has the port, the server ends at once, or does not answer in time.
    """
    command = [*_program(module), *arguments, "--host", "127.0.0.1", "--port", str(_free_port(uri))]
    # Newer versions of MLflow would report usage; and no folder's content is to be imported for a module.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONSAFEPATH": "1"}
    detached = 0
    if sys.platform == "win32":
        detached = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=detached,
        )
    except OSError as error:
        raise ServerError(f"it could not be started ({error})") from error
    try:
        _wait_until(lambda: answers(uri), process)
    except BaseException:
        # Also where the user interrupts: nothing half started may stay.
        stop_server(process.pid)
        raise
    return process.pid


def _wait_until(answered: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Raises: ServerError, if the server ends or takes too long."""
    end = time.monotonic() + START_TIMEOUT_S
    while not answered():
        if process.poll() is not None:
            raise ServerError(f"a server was started and ended at once (exit code {process.returncode})")
        if time.monotonic() > end:
            raise ServerError(f"a server was started and did not answer within {START_TIMEOUT_S:g} s")
        time.sleep(0.2)


def _program(module: str) -> list[str]:
    """This Python's own module. Inside STUDIO the executable is no Python, and the program beside it is taken."""
    if Path(sys.executable).stem.lower().startswith("python"):
        return [sys.executable, "-m", module]
    name = module.partition(".")[0]
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        raise ServerError(f"the program {name} was not found")
    return [program]


def _free_port(uri: str) -> int:
    """The port of an address where a server can be started. Raises: ServerError."""
    address = urlsplit(uri)
    if address.scheme != "http" or address.hostname not in THIS_MACHINE or address.path.strip("/"):
        raise ServerError("it does not answer, and one is started only at an http://localhost:PORT without a path")
    port = address.port or 80
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ServerError(
            f"the port is taken by a program that does not answer as it would, or is forbidden ({error.strerror})"
        ) from error
    return port


def _is_mlflow(uri: str) -> bool:
    return _page(f"{uri.rstrip('/')}/health").strip() == "OK"


def _is_tensorboard(uri: str) -> bool:
    return "tensorboard" in _page(uri)[:5000].lower()


def _shows(uri: str, folder: Path) -> bool:
    """Whether the TensorBoard at `uri` shows `folder`."""
    try:
        location = Path(json.loads(_page(f"{uri.rstrip('/')}/data/environment"))["data_location"])
        return location.expanduser().resolve() == folder.resolve()
    except (ValueError, KeyError, TypeError, OSError, RuntimeError):
        return False


def _is_this_machine(uri: str) -> bool:
    """Whether an address is one of this machine that every user shares."""
    host = urlsplit(uri).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in THIS_MACHINE or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _page(address: str) -> str:
    """The page at this address; empty where there is none within twice `PROBE_TIMEOUT_S`.

    The client's own limit is one between two bytes: a server that sends one now and then would hold it for ever.
    """
    import requests

    pages: list[str] = []

    def fetch() -> None:
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(address, timeout=PROBE_TIMEOUT_S)
            if answer.status_code == 200:
                pages.append(answer.text)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(2 * PROBE_TIMEOUT_S)
    return pages[0] if pages else ""
