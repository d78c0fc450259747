"""Training from the command line: `python -m train_torchvision_resnext DATASET --set key=value ...`.

Started by torchrun, its processes train together, on all the machines that they run on. The name of a command in place
of the dataset runs that command: `python -m train_torchvision_resnext COMMAND ...`.
"""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .resnext.host.streams import escape_unencodable_output
from .resnext.images.opencv import import_ikomia

PROGRAM = "python -m train_torchvision_resnext"

COMMANDS = {
    "compare": "tell which of two models is better on the same images",
    "evaluate": "judge a model by a folder of labeled images",
    "finish": "write the complete model folder of a training that was killed",
}
"""Modules beside this one, each with a `main` that takes arguments and returns an exit status → purpose of each.

A command that decodes images calls `import_ikomia` first.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command, or train. Returns: the exit status."""
    escape_unencodable_output()
    if arguments and arguments[0] in COMMANDS:
        return int(importlib.import_module(f".{arguments[0]}", __package__).main(arguments[1:]))
    return run_training(arguments)


def run_training(arguments: Sequence[str]) -> int:
    """Train. Returns: the exit status, 1 where something stands in the way or breaks it off."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {purpose}" for name, purpose in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        epilog=f"commands:\n{commands}\n\nA dataset folder with the name of a command is written ./NAME.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path, help="a folder of train/, val/ and test/, or of class folders")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="parameters")
    asked = parser.parse_args(arguments)
    import_ikomia()

    from .fitting.ranks import ALONE, joined
    from .parameters.task import read_host_map
    from .resnext.host.schema import ParameterError
    from .resnext.machine.devices import DeviceError, resolve_device
    from .run.progress import Listener, Signals, TrainingError
    from .training import follow, train

    try:
        parameters = read_host_map(dict(pair.partition("=")[::2] for pair in asked.set))
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if several and parameters.devices != "1":
            raise ParameterError([f"devices = {parameters.devices!r}: torchrun starts the processes; leave it out"])
        meeting = joined(resolve_device(parameters.device).type, "env://") if several else contextlib.nullcontext(ALONE)
        with Signals() as signals, meeting as ranks:
            if not ranks.is_first:
                follow(ranks)
                return 0
            listener = Listener(stop_requested=lambda: signals.received is not None, say=print)
            train(asked.dataset, parameters, listener, ranks)
    except (ParameterError, DeviceError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 1
    signals.act("training was stopped by Ctrl-C; resume = auto goes on")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
