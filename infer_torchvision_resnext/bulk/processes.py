"""Processes that decode beside the network, and are replaced when they die."""

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

from typing_extensions import Self

from ..resnext.images.opencv import import_ikomia, opencv

T = TypeVar("T")
Task = tuple[Any, ...]

AHEAD = 2
"""Tasks that are handed out for each process: one that it works at, and one that waits."""

STARTS = 3
"""Times that processes may end before their first task: one that was killed must not end the job."""


class Processes:
    """`count` processes, spawned rather than forked: threads and locks of this one stay here."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._failed_starts = 0
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def results(
        self, work: Callable[..., T], tasks: Iterable[Task], after_death: Callable[[Task], T], at_once: int = 0
    ) -> Iterator[T]:
        """`work(*task)` for each task, in order, a few ahead of what was asked for.

        Args:
            after_death: gives the result of a task during which a process died, whichever of them that was.
            at_once: results that are taken one after another, before there is a pause in which the processes go on.
        """
        waiting = iter(tasks)
        handed_out: deque[tuple[Task, Future[T] | None]] = deque()
        while True:
            while len(handed_out) < AHEAD * self._count + at_once and (task := next(waiting, None)) is not None:
                handed_out.append((task, self._submitted(work, task)))
            if not handed_out:
                return
            task, future = handed_out.popleft()
            try:
                if future is None:
                    raise BrokenProcessPool
                result = future.result()
            except BrokenProcessPool:
                # All processes of a pool go with the one that died, and so do the tasks that they held.
                began = self._restart()
                if not began:
                    handed_out.appendleft((task, None))
                else:
                    result = after_death(task)
                handed_out = deque(
                    (waiting_task, self._submitted(work, waiting_task)) for waiting_task, _ in handed_out
                )
                if not began:
                    continue
            yield result

    def alone(self, work: Callable[..., T], task: Task, after_death: Callable[[Task], T]) -> T:
        """`work(*task)`, waited for."""
        return next(self.results(work, [task], after_death))

    def _submitted(self, work: Callable[..., T], task: Task) -> "Future[T] | None":
        """None where a process has died since."""
        try:
            return self._pool.submit(work, *task)
        except BrokenProcessPool:
            return None

    def _restart(self) -> bool:
        """Start new processes. Returns: whether the old ones had begun to work, so that a task may have ended them."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        began = self._first.exception() is None
        self._failed_starts = 0 if began else self._failed_starts + 1
        if self._failed_starts == STARTS:
            raise RuntimeError(
                f"processes that decode cannot be started: they ended before their first task, {STARTS} times; their "
                'own messages, above, say why. In a script, call classify_all below `if __name__ == "__main__":`. If '
                "there are no messages, the system may have ended them: free memory, or lower workers"
            )
        self._start()
        return began

    def _start(self) -> None:
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin)
        # Starts at once, while the model is being loaded; tells a process that died from one that cannot live.
        self._first = self._pool.submit(os.getpid)


def _begin() -> None:
    """In a new process, before its first task."""
    # Ctrl-C reaches all processes of a terminal, and the parent decides what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Without this, processes of a killed parent would wait for tasks for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_opencv_for_one()


def import_opencv_for_one() -> None:
    """Import the OpenCV that decodes, and let it take one thread: there is a process for each core."""
    import_ikomia()
    with contextlib.suppress(ImportError):
        opencv().setNumThreads(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
