"""Torchrun, as a child of the training's; of a process that was killed it tells the parent which one.

Imports nothing of the training: torchrun itself only starts processes and waits for them.
"""

import contextlib
import json
import os
import signal
import sys

PLAN = "plan.pickle"
"""What the processes do, in the private folder that the parent makes."""


class Teller:
    """Writes events into the parent's pipe, a line of JSON each."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._told = 0.0

    def __call__(self, **event: object) -> None:
        # One write of a line, so that those of several processes do not mix.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, json.dumps(event).encode() + b"\n")

    def progress(self, done: float) -> None:
        if done - self._told >= 0.001:
            self._told = done
            self(progress=done)


def torchrun(arguments: list[str]) -> None:
    """Run it with these arguments of its command line."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    tell = Teller(1)
    try:
        run.main(arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        cause = "; Likely cause: the machine's memory is full" if -code == getattr(signal, "SIGKILL", 0) else ""
        tell(killed=True, failure=f"the process of rank {rank} {how}{cause}")


if __name__ == "__main__":
    torchrun(sys.argv[1:])
