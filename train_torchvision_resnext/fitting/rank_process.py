"""One of the processes that torchrun starts: it reads the plan, meets the others, and fits together with them."""

import os
import pickle
import sys
import threading
import traceback
from pathlib import Path

from ..resnext.host.streams import escape_unencodable_output
from ..resnext.images.opencv import import_ikomia
from ..run.plan import Plan
from ..run.progress import Listener
from ..run.run_folder import RunFolder
from .loop import Fitted, fit
from .process_settings import cpu_settings, process_settings
from .ranks import Ranks, joined
from .torchrun import PLAN, Teller


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
    """Fit by the plan in the folder, and tell the parent how it goes."""
    escape_unencodable_output()
    import_ikomia()
    tell, stop = Teller(os.dup(1)), threading.Event()
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


if __name__ == "__main__":
    train_rank(Path(sys.argv[1]))
