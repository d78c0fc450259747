"""Libraries that run networks start threads, which a forked process does not have: it would wait for them forever.

A fork copies the memory of a process, so that in the copy the libraries take their threads to be there. None of them
can be started anew within it.
"""

import os


class ForkedProcessError(RuntimeError):
    """This process was forked from one that has already loaded a network; the message says what to do."""


class _Owner:
    """The process in which the libraries were started.

    Attributes:
        process: its id; 0 = they were not started yet.
    """

    process = 0


def require_unforked() -> None:
    """Note that networks run in this process from now on.

    Raises:
        ForkedProcessError: they ran in a process that this one was forked from.
    """
    _Owner.process = _Owner.process or os.getpid()
    if _Owner.process != os.getpid():
        raise ForkedProcessError(
            f"process {os.getpid()} was forked from process {_Owner.process}, which had already loaded a network: its "
            "threads do not exist here, and classifying would hang. Start processes with "
            'multiprocessing.get_context("spawn"), or load the first network after the fork'
        )
