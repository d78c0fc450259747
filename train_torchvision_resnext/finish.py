"""Write the complete model folder of a training that was killed: `python -m train_torchvision_resnext finish RUN`.

The model is that of the best epoch so far, evaluated as after the last epoch. The run can still be resumed, unless all
of its epochs were done.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .resnext.images.opencv import import_ikomia

PROGRAM = "python -m train_torchvision_resnext finish"


def main(arguments: Sequence[str]) -> int:
    """Finish a run. Returns: the exit status, 1 where something stands in the way."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("--dataset", type=Path, help="where its images are now, if they were moved")
    request = parser.parse_args(arguments)
    import_ikomia()

    from .run.progress import Listener, Signals, TrainingError
    from .training import finish

    try:
        with Signals() as signals:

            def interrupted() -> bool:
                return signals.received is not None

            # Nothing is trained that a first one could end.
            stop = Listener(stop_requested=interrupted, end_requested=interrupted, say=print)
            finish(request.run.expanduser(), stop, request.dataset)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 1
    signals.act("finishing was stopped by Ctrl-C")
    return 0
