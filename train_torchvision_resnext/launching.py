"""Training in several processes of this machine: torchrun as a child, which starts one for each device.

The parent plans before and judges afterwards; the processes only fit. Each reads the plan from a private temporary
folder and meets the others by a file there, so that nothing listens beyond loopback. Rank 0 tells, in lines of JSON,
how it goes, and stops when the pipe that it reads from closes: by Stop, or because the parent is gone.
"""

import contextlib
import json
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .fitting.checkpoint import read_state
from .fitting.loop import Fitted, fit
from .fitting.process_settings import cpu_settings, process_settings
from .fitting.ranks import Ranks, joined
from .plan import Plan
from .progress import Listener, TrainingError
from .resnext.images.opencv import import_ikomia
from .run_folder import RunFolder

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""Names of the interface that gloo and NCCL are bound to."""

PLAN = "plan.pickle"
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
        "OMP_NUM_THREADS": str(max(1, (plan.parameters.threads or os.cpu_count() or 1) // plan.processes)),
        **({"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} if interface else {}),
    }
    meeting = ["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", "--rdzv-endpoint", str(folder / "meeting")]
    module = f"{package.name}.launching"
    command = [_python(), "-m", module, *meeting, "--nproc-per-node", str(plan.processes)]
    # In a session of its own, so that Ctrl-C reaches the parent alone, which knows what to do with it.
    process = subprocess.Popen(
        [*command, "-m", module, str(folder)],
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


def torchrun(arguments: list[str]) -> None:
    """Torchrun itself; of a process that was killed it tells the parent which one."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    tell = _Teller(1)
    try:
        run.main(arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        cause = "; Likely cause: the machine's memory is full" if -code == getattr(signal, "SIGKILL", 0) else ""
        tell(killed=True, failure=f"the process of rank {rank} {how}{cause}")


def fit_as_rank(plan: Plan, run: RunFolder, listener: Listener, ranks: Ranks) -> Fitted:
    """Fit together with the other processes that torchrun started, each of which calls this with the same plan."""
    count = int(os.environ["LOCAL_WORLD_SIZE"])
    plan, parameters = plan.of_rank(int(os.environ["LOCAL_RANK"]), count), plan.parameters
    with (
        cpu_settings(plan.device, parameters.threads and max(1, parameters.threads // count)),
        process_settings(plan.device, plan.precision, parameters.deterministic),
    ):
        return fit(plan, run, listener, ranks)


def train_rank(folder: Path) -> None:
    """One of the processes of `fit_in_processes`."""
    import_ikomia()
    tell, stop = _Teller(os.dup(1)), threading.Event()
    # Whatever else prints goes to the terminal.
    os.dup2(2, 1)
    rank = int(os.environ["RANK"])
    plan, run = pickle.loads((folder / PLAN).read_bytes())
    listener = Listener()
    if rank == 0:

        def hear() -> None:
            os.read(0, 1)
            stop.set()

        threading.Thread(target=hear, daemon=True).start()
        listener = Listener(progress=tell.progress, epoch=lambda row: tell(row=row), stop_requested=stop.is_set)
    try:
        with joined(plan.device.type, (folder / "peers").as_uri()) as ranks:
            fitted = fit_as_rank(plan, run, listener, ranks)
            # Before the others miss it, and tell of that.
            if ranks.is_first or fitted.failure:
                tell(stopped=fitted.stopped, failure=fitted.failure)
    except OSError as error:
        tell(errno=error.errno, failure=error.strerror or str(error), file=error.filename)
    except Exception as error:
        tell(failure=f"rank {rank} failed: {error}")
        traceback.print_exc()


class _Teller:
    """Writes events into the parent's pipe."""

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


if __name__ == "__main__":
    if "RANK" in os.environ:
        train_rank(Path(sys.argv[1]))
    else:
        torchrun(sys.argv[1:])
