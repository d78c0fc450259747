"""What both plugins add to `import ikomia` with auto-completion on, in fresh processes and scratch homes, in turns.

Measured when Ikomia finds its completion written, and when it has to write it, constructing every plugin. Each home has
an Ikomia of its own, by links, since Ikomia keeps the completion in its package; the installed one is left alone.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from examples.ikomia_home import REPOSITORY, link
from tools.own_ikomia import own_ikomia

ROUNDS = 7
PROBE = """
import socket, sys, time
bound = []
bind = socket.socket.bind
socket.socket.bind = lambda self, address: (bound.append(address), bind(self, address))[1]
start = time.perf_counter()
import ikomia
print(time.perf_counter() - start, bool({"torch", "mlflow"} & set(sys.modules)), len(bound))
"""


@dataclass(frozen=True)
class Import:
    """One `import ikomia`: how long it took, whether it imported torch or MLflow, how many ports it bound."""

    seconds: float
    heavy: bool
    ports: int


class Home:
    """A home with some plugins installed and an Ikomia of its own."""

    def __init__(self, folder: Path, plugins: list[Path]) -> None:
        installed = folder / "Ikomia" / "Plugins" / "Python"
        installed.mkdir(parents=True)
        for plugin in plugins:
            link(plugin, installed / plugin.name)
        self._folder = folder
        self._package = own_ikomia(folder / "packages")

    def start(self, rewrite: bool) -> Import:
        """Import Ikomia in a new process, after its completion was deleted or not."""
        if rewrite:
            (self._package / "ikomia" / "utils" / "autocomplete_local.cache").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "HOME": str(self._folder),
            "USERPROFILE": str(self._folder),
            "PYTHONPATH": str(self._package),
            "IKOMIA_AUTO_COMPLETION": "True",
        }
        finished = subprocess.run(
            [sys.executable, "-c", PROBE], env=environment, cwd=self._folder, capture_output=True, text=True, check=True
        )
        seconds, heavy, ports = finished.stdout.strip().splitlines()[-1].split()
        return Import(float(seconds), heavy == "True", int(ports))


def main() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        homes = {
            "without": Home(Path(scratch) / "without", []),
            "with both": Home(Path(scratch) / "with", sorted(REPOSITORY.glob("*_torchvision_resnext"))),
        }
        for rewrite in (False, True):
            # The first round also writes byte code and the completion.
            rounds = [{name: home.start(rewrite) for name, home in homes.items()} for _ in range(ROUNDS + 1)][1:]
            for name in homes:
                results = [one[name] for one in rounds]
                rows.append(
                    {
                        "plugins": name,
                        "completion": "written again" if rewrite else "there",
                        "median s": round(statistics.median(result.seconds for result in results), 2),
                        "fastest s": round(min(result.seconds for result in results), 2),
                        "torch or MLflow imported": any(result.heavy for result in results),
                        "ports bound": max(result.ports for result in results),
                    }
                )
    return rows


if __name__ == "__main__":
    from benchmarks.table import markdown

    print(markdown(main()))
