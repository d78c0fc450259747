"""Training in several processes of this machine: torchrun as a child, which starts one for each device.

The parent plans before and judges afterwards; the processes only fit (`fitting/rank_process.py`). They meet by a file
in a private temporary folder, so that nothing listens beyond loopback. Rank 0 tells, in lines of JSON, how it goes, and
stops when the pipe that it reads from closes: by Stop, or because the parent is gone.
"""

import contextlib
import json
import os
import pickle
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .fitting.checkpoint import read_state
from .fitting.loop import Fitted
from .fitting.torchrun import PLAN
from .resnext.machine.threads import core_count
from .run.plan import Plan
from .run.progress import Listener, TrainingError
from .run.run_folder import RunFolder

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""Names of the interface that gloo and NCCL are bound to."""

ENDING_S = 60
"""How long the processes may take to end, a step and the state of the epoch included."""


def fit_in_processes(plan: Plan, run: RunFolder, listener: Listener) -> Fitted:
    """As `fit` does, in `plan.processes` processes.

    Raises:
        OSError: the disk refuses to keep the state.
    """
    end: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="resnext-ranks-") as name, _torchrun(plan, run, Path(name)) as process:
        for event in _events(process, listener):
            if "progress" in event:
                listener.progress(event["progress"])
            elif "row" in event:
                listener.epoch(event["row"])
            elif not end or event.get("killed"):
                # The first to fail says why: the others only miss it. Of one that was killed torchrun knows.
                end = event
    if "errno" in end:
        raise OSError(end["errno"], end["failure"], end["file"])
    if not end:
        end = {"failure": f"the processes ended with exit status {process.returncode}"}
    history = read_state(run.last)["history"]
    return Fitted.of(history, plan.parameters, end.get("stopped", False), end.get("failure", ""))


@contextlib.contextmanager
def _torchrun(plan: Plan, run: RunFolder, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The running child. Left early, it is ended with all of its processes."""
    (folder / PLAN).write_bytes(pickle.dumps((plan, run)))
    package = Path(__file__).parent
    interface = LOOPBACK.get(sys.platform)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        # Otherwise torchrun starts a store that listens on every interface.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "OMP_NUM_THREADS": str(max(1, core_count(plan.parameters.threads) // plan.processes)),
        **({"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} if interface else {}),
    }
    meeting = ["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", "--rdzv-endpoint", str(folder / "meeting")]
    room = f"{package.name}.fitting"
    command = [_python(), "-m", f"{room}.torchrun", *meeting, "--nproc-per-node", str(plan.processes)]
    # In a session of its own, so that Ctrl-C reaches the parent alone, which knows what to do with it.
    process = subprocess.Popen(
        [*command, "-m", f"{room}.rank_process", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _close(process.stdin)
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        _close(process.stdout)


def _events(process: "subprocess.Popen[bytes]", listener: Listener) -> Iterator[dict[str, Any]]:
    """What the processes tell, until all have ended; meanwhile a Stop is passed on."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, daemon=True).start()
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=0.1)
            if not line:
                return
            yield json.loads(line)
        if listener.stop_requested():
            _close(process.stdin)


def _python() -> str:
    """This Python. Inside STUDIO the executable is another program, and the Python that it was made of is taken."""
    if Path(sys.executable).stem.lower().startswith("python"):
        return sys.executable
    found = shutil.which("python3", path=str(Path(sys.prefix) / "bin")) or shutil.which("python", path=sys.prefix)
    if found is None:
        raise TrainingError([f"devices: no Python was found in {sys.prefix} to start processes with; set it to 1"])
    return found


def _close(pipe: IO[bytes] | None) -> None:
    if pipe:
        pipe.close()
