"""Commands: `python -m infer_torchvision_resnext COMMAND ...`, in Ikomia's folder Plugins/Python."""

import importlib
import sys
from collections.abc import Sequence

from .resnext.host.streams import escape_unencodable_output
from .resnext.images.opencv import import_ikomia

COMMANDS = {
    "classify": "any number of images become a table of answers",
    "doctor": "what this machine has, and whether all of it agrees",
    "quantize": "a model folder gains an int8 network",
}
"""Modules in `commands/`, each with a `main` that takes arguments and returns an exit status → what each is for."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; each is imported only when it is asked for."""
    escape_unencodable_output()
    if not arguments or arguments[0] not in COMMANDS:
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {purpose}" for name, purpose in COMMANDS.items()]
        usage = "\n".join(["usage: python -m infer_torchvision_resnext COMMAND ...", *lines])
        asked = [argument for argument in arguments[:1] if argument not in ("-h", "--help")]
        print(usage, file=sys.stderr if asked else sys.stdout)
        return 2 if asked else 0
    import_ikomia()
    return int(importlib.import_module(f".commands.{arguments[0]}", __package__).main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
