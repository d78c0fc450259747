"""Commands of the plugin: `python -m infer_torchvision_resnext COMMAND`."""

import importlib
import sys
from collections.abc import Callable, Sequence

COMMANDS = {"classify": (".bulk.command", "classify a folder, a list, a manifest or a video into a table")}
"""Name → the module whose `main` takes the arguments, imported when it is asked for, and what it does."""


def main(arguments: Sequence[str]) -> int:
    name, *rest = arguments or ["--help"]
    if name not in COMMANDS:
        print(f"usage: python -m {__package__} COMMAND ...\n")
        print("\n".join(f"  {each:<10}{what}" for each, (_, what) in COMMANDS.items()))
        return 0 if name in ("-h", "--help") else 2
    module, _ = COMMANDS[name]
    command: Callable[[Sequence[str]], int] = importlib.import_module(module, __package__).main
    return command(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
