"""One process for each shard of an OUTPUT, and all of them with the same number of shards.

The lock is the operating system's, on a file in OUTPUT, so that it ends with its process, however that ends. A file
beside it says who holds it.
"""

import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from .shards import Shard

LOCK = "_lock"
"""Readers of Parquet data sets pass over names that begin so."""
GATE_S = 60
"""The file `_lock` itself is held for as long as it takes to look at the others: some milliseconds."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


class OutputBusyError(ValueError):
    """Another process writes the same table; the message names it."""


def is_lock(path: Path) -> bool:
    """Whether a file in OUTPUT belongs to its locks."""
    return path.name.startswith(LOCK)


@contextmanager
def locked(output: Path, shard: Shard, say: Callable[[str], None]) -> Iterator[None]:
    """With OUTPUT, or one shard of it, for this process alone. The folder must exist.

    Where the file system has no locks, the work goes on without: parts are complete and the same whoever writes them,
    so that a second process costs time and no rows.

    Raises:
        OutputBusyError: another process works on the same rows.
        OSError: the lock cannot be written.
    """
    own = output / f"{LOCK}-{shard.index + 1}-of-{shard.count}"
    try:
        with _gate(output):
            for other in _locks_of_other_counts(output, shard):
                _release(_acquire(output, other), other)
            lock = _acquire(output, own)
            _holder_file(own).write_text(json.dumps(_own_holder()), encoding="utf-8")
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        say(f"OUTPUT = {str(output)!r} lies on a file system without locks: start only one process for it at a time")
        yield
        return
    try:
        yield
    finally:
        _end(output, lock, own)


def _end(output: Path, lock: FileLock, own: Path) -> None:
    """Release a lock, and leave no file of it; one that cannot be removed does no harm."""
    if not output.is_dir():
        lock.release()
        return
    try:
        with _gate(output):
            _release(lock, own)
    except OutputBusyError:
        lock.release()


def _release(lock: FileLock, file: Path) -> None:
    """Within the gate, where nobody else can be opening the file."""
    _holder_file(file).unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):
        file.unlink(missing_ok=True)


@contextmanager
def _gate(output: Path) -> Iterator[None]:
    """One process at a time looks at the locks of an OUTPUT. Raises: OutputBusyError, after a minute."""
    gate = FileLock(output / LOCK, timeout=GATE_S)
    try:
        gate.acquire()
    except Timeout as error:
        raise OutputBusyError(
            f"{output / LOCK} is locked for more than {GATE_S} s: end the process that holds it"
        ) from error
    try:
        yield
    finally:
        gate.release()


def _locks_of_other_counts(output: Path, shard: Shard) -> list[Path]:
    """Lock files whose processes divide the parts otherwise, a job without shards being one of one."""
    return [
        file
        for file in sorted(output.glob(f"{LOCK}-*-of-*"))
        if not file.suffix and not file.name.endswith(f"-of-{shard.count}")
    ]


def _acquire(output: Path, file: Path) -> FileLock:
    """Take a lock at once. Raises: OutputBusyError, if another process holds it."""
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputBusyError(
            f"OUTPUT = {str(output)!r} is in use by {_holder(file)}: wait until it ends, or name another OUTPUT. "
            "(Several processes can share one OUTPUT if each is started with --shard I/N, all with the same N)"
        ) from error
    return lock


def _holder_file(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.json")


def _own_holder() -> dict[str, object]:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(lock: Path) -> str:
    """The process that holds a lock, for a person."""
    shard = lock.name.removeprefix(f"{LOCK}-").replace("-of-", "/")
    work = "" if shard == "1/1" else f" (shard {shard})"
    try:
        holder = json.loads(_holder_file(lock).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}{work}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"another process{work}"
