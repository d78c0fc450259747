"""The pages that STUDIO shows, MLflow's and TensorBoard's: find the server that answers, else start one."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .local_server import PROBE_TIMEOUT_S, Server, ServerError, start_server

logger = logging.getLogger(__name__)


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
    """Choose where to log: the server at `uri`, else a new server there over `folder`, else `folder` alone.

    With a server started here, runs are written straight into `folder`, which is what the server shows: quicker than
    through the server, and nothing is lost should it die in the middle.

    Args:
        uri: the configured address, for example `http://localhost:5000`; one without http is MLflow's own affair and
            passed on.
        folder: MLflow's file store, made when needed.

    Raises:
        OSError: the folder cannot be made.
    """
    if urlsplit(uri).scheme not in ("http", "https"):
        return TrackingStore(uri)
    if _is_mlflow(uri):
        logger.info("logging to the MLflow server at %s", uri)
        return TrackingStore(uri)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder.resolve().as_uri()
    arguments = ("server", "--backend-store-uri", store, "--default-artifact-root", store, "--workers", "1")
    try:
        pid = start_server(Server("mlflow", "mlflow", arguments, folder), uri, lambda: _is_mlflow(uri))
    except ServerError as error:
        return file_store(uri, folder, f"{error}")
    logger.info("started an MLflow server at %s (process %d); it stays for STUDIO", uri, pid)
    return TrackingStore(store, server_pid=pid)


def file_store(uri: str, folder: Path, reason: str) -> TrackingStore:
    """Log to the folder because the server at `uri` does not answer."""
    note = f"No MLflow server at {uri}: {reason}. The run is logged to the file store {folder} instead."
    logger.warning(note)
    return TrackingStore(folder.resolve().as_uri(), note=note)


def open_tensorboard(uri: str, folder: Path) -> int | None:
    """Find the TensorBoard at `uri`, else start one there over `folder`, which exists.

    Returns:
        The process id of the one started; None where one was found.

    Raises:
        ServerError: neither can be had.
    """
    if _is_tensorboard(uri):
        return None
    server = Server("tensorboard.main", "tensorboard", ("--logdir", str(folder.resolve())), folder)
    pid = start_server(server, uri, lambda: _is_tensorboard(uri))
    logger.info("started a TensorBoard at %s (process %d); it stays for STUDIO", uri, pid)
    return pid


def _is_mlflow(uri: str) -> bool:
    return _get(f"{uri.rstrip('/')}/health").strip() == "OK"


def _is_tensorboard(uri: str) -> bool:
    return "tensorboard" in _get(uri)[:5000].lower()


def _get(address: str) -> str:
    """The page at this address; empty where there is none within twice `PROBE_TIMEOUT_S`.

    The client's own limit is one between two bytes: a server that sends one now and then would hold it for ever.
    """
    pages: list[str] = []
    thread = threading.Thread(target=lambda: pages.append(_fetched(address)), daemon=True)
    thread.start()
    thread.join(2 * PROBE_TIMEOUT_S)
    return pages[0] if pages else ""


def _fetched(address: str) -> str:
    import requests

    try:
        answer = requests.get(address, timeout=PROBE_TIMEOUT_S)
    except requests.RequestException:
        return ""
    return answer.text if answer.status_code == 200 else ""
