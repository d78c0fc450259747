"""What both plugins add to `import ikomia` with auto-completion on, in fresh processes and scratch homes.

Measured when Ikomia finds its completion written, and when it has to write it, constructing every plugin. Ikomia keeps
the completion in its installed package: run this in an environment of its own.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from examples.ikomia_home import REPOSITORY, link

ROUNDS = 5
PROBE = """
import socket, sys, time
bound = []
bind = socket.socket.bind
socket.socket.bind = lambda self, address: (bound.append(address), bind(self, address))[1]
start = time.perf_counter()
import ikomia
print(time.perf_counter() - start, "torch" in sys.modules, len(bound))
"""


def completion() -> Path:
    """Where the installed Ikomia keeps what it completes. Raises: ImportError."""
    found = importlib.util.find_spec("ikomia")
    if found is None or found.origin is None:
        raise ImportError("Ikomia is not installed")
    return Path(found.origin).parent / "utils" / "autocomplete_local.cache"


def measure(home: Path, rewrite: bool) -> tuple[float, bool, int]:
    """Seconds of one import, whether it imported torch, and how many ports it bound (Ikomia alone probes one)."""
    if rewrite:
        completion().unlink(missing_ok=True)
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home), "IKOMIA_AUTO_COMPLETION": "True"}
    command = [sys.executable, "-c", PROBE]
    finished = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    seconds, torch, ports = finished.stdout.strip().splitlines()[-1].split()
    return float(seconds), torch == "True", int(ports)


def main() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        homes = {"without": Path(scratch) / "without", "with both": Path(scratch) / "with"}
        for home in homes.values():
            (home / "Ikomia" / "Plugins" / "Python").mkdir(parents=True)
        for plugin in REPOSITORY.glob("*_torchvision_resnext"):
            link(plugin, homes["with both"] / "Ikomia" / "Plugins" / "Python" / plugin.name)
        for rewrite in (False, True):
            for name, home in homes.items():
                # The first also writes byte code and this home's completion.
                results = [measure(home, rewrite) for _ in range(ROUNDS + 1)][1:]
                rows.append(
                    {
                        "plugins": name,
                        "completion": "written anew" if rewrite else "there",
                        "median s": round(statistics.median(seconds for seconds, _, _ in results), 2),
                        "fastest s": round(min(results)[0], 2),
                        "torch imported": any(torch for _, torch, _ in results),
                        "ports bound": max(ports for _, _, ports in results),
                    }
                )
    return rows


if __name__ == "__main__":
    from benchmarks.table import markdown

    print(markdown(main()))
