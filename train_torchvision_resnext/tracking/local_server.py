"""Servers of this machine alone, which outlive the training.

A server started here is bound to 127.0.0.1, has no authentication, and belongs to nobody's terminal: it runs in a
session of its own, holds none of the caller's streams, and **stays** when the training ends, because STUDIO opens its
page afterwards; the next training finds and uses it. `stop_server` ends it. A server that was found is never ended.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROBE_TIMEOUT_S = 3.0
START_TIMEOUT_S = 45.0
"""A cold start takes 3 to 15 seconds."""

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class ServerError(RuntimeError):
    """No server can be started; the message says why."""


@dataclass(frozen=True)
class Server:
    """A program that serves.

    Attributes:
        module: run by this Python.
        script: the name of its program, for hosts whose executable is no Python.
        arguments: without host and port, which are added.
        folder: where it stands, so that neither the user's folder is held nor anything written to it.
    """

    module: str
    script: str
    arguments: tuple[str, ...]
    folder: Path


def start_server(server: Server, uri: str, answers: Callable[[], bool]) -> int:
    """Start a server at an address of this machine and wait until it answers.

    Args:
        uri: `http://localhost:PORT`.
        answers: whether the server answers at `uri`.

    Returns:
        Its process id, on POSIX also the id of its process group.

    Raises:
        ServerError: another program has the port, the server ends at once, or does not answer in time.
    """
    port = _free_port(uri)
    command = [*_command(server), *server.arguments, "--host", "127.0.0.1", "--port", str(port)]
    # Newer versions of MLflow would report usage; and no folder's content is to be imported for a module.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONSAFEPATH": "1"}
    detached = 0
    if sys.platform == "win32":
        detached = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        process = subprocess.Popen(
            command,
            cwd=server.folder,
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
        _wait_for(process, answers)
    except BaseException:
        # Also where the user interrupts: nothing half started may stay.
        stop_server(process.pid)
        raise
    return process.pid


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


def _free_port(uri: str) -> int:
    """The port of an address where a server can be started. Raises: ServerError."""
    address = urlsplit(uri)
    if address.scheme != "http" or address.hostname not in THIS_MACHINE or address.path.strip("/"):
        raise ServerError("it does not answer, and one is started only at an http://localhost:PORT without a path")
    port = address.port or 80
    with socket.socket() as probe:
        if sys.platform != "win32":
            # As the servers themselves do, so that connections just closed do not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"the port is taken by a program that does not answer as it would, or not to be had ({error.strerror})"
            ) from error
    return port


def _command(server: Server) -> list[str]:
    """This Python's own module. Inside STUDIO the executable is no Python, and the program beside it is taken."""
    if Path(sys.executable).stem.lower().startswith("python"):
        return [sys.executable, "-m", server.module]
    program = shutil.which(server.script, path=str(Path(sys.executable).parent)) or shutil.which(server.script)
    if program is None:
        raise ServerError(f"the program {server.script} was not found")
    return [program]


def _wait_for(process: subprocess.Popen[bytes], answers: Callable[[], bool]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerError(f"a server was started and ended at once (exit code {process.returncode})")
        if answers():
            return
        time.sleep(0.2)
    raise ServerError(f"a server was started and did not answer within {START_TIMEOUT_S:g} s")
