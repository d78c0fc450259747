"""Send both plugins to the HUB with its own client, `ikcli`, after asking.

What is sent is what `make package` packs, unzipped into a scratch Ikomia home: the client would send everything that
lies in a plugin's folder. The token comes from IKOMIA_TOKEN or is asked for; it goes to the client by its environment
and is written nowhere. Before it publishes, the client asks for the license and once more whether to go on.
"""

import argparse
import getpass
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.package import package

PLUGINS = ("infer_torchvision_resnext", "train_torchvision_resnext")
HUB = "https://scale.ikomia.ai"
LICENSE = "MIT"


class Client:
    """`ikcli`, seeing the unzipped packages and nothing else."""

    def __init__(self, url: str, token: str, home: Path) -> None:
        self._url = url
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "USERPROFILE": str(home),
            "IKOMIA_TOKEN": token,
            "IKOMIA_AUTO_COMPLETION": "False",
            # The client packs byte code too, into the demo workflow.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def knows(self, plugin: str) -> bool:
        """Whether the HUB has the plugin already. Raises: RuntimeError, with what the client said."""
        finished = subprocess.run(
            self._command("algo", "show", plugin),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode and "Unable to find algo" not in finished.stdout:
            raise RuntimeError(f"ikcli could not ask {self._url}: {finished.stdout}{finished.stderr}")
        return finished.returncode == 0

    def run(self, *arguments: str) -> None:
        """Run a command where the user sees it and answers it. Raises: CalledProcessError."""
        print(f"$ ikcli --url {self._url} {' '.join(arguments)}", flush=True)
        subprocess.run(self._command(*arguments), env=self._environment, check=True)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ikcli.cli", "--url", self._url, *arguments]


def unpack(plugin: str, home: Path) -> list[str]:
    """Unzip a plugin's package into an Ikomia home; returns the names of its files."""
    with zipfile.ZipFile(package(plugin)) as archive:
        archive.extractall(home / "Ikomia" / "Plugins" / "Python")
        return archive.namelist()


def version() -> str:
    """The version that both plugins carry. Raises: ValueError."""
    from infer_torchvision_resnext import __version__ as inference
    from train_torchvision_resnext import __version__ as training

    if inference != training:
        raise ValueError(f"the plugins have different versions: {inference} and {training}")
    return inference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("namespace", help="the HUB's namespace, such as your user name")
    parser.add_argument("--url", default=os.environ.get("IKOMIA_URL", HUB))
    arguments = parser.parse_args()
    os.environ["IKOMIA_AUTO_COMPLETION"] = "False"
    with tempfile.TemporaryDirectory(prefix="publish-") as scratch:
        for plugin in PLUGINS:
            names = unpack(plugin, Path(scratch))
            print(f"{plugin} {version()}, {LICENSE}: {len(names)} files")
        if input(f"Send both to {arguments.url}, namespace {arguments.namespace}? [y/N] ").strip().lower() != "y":
            print("Nothing was sent.")
            return
        token = os.environ.get("IKOMIA_TOKEN") or getpass.getpass("Token of the HUB (it is not kept): ")
        client = Client(arguments.url, token, Path(scratch))
        for plugin in PLUGINS:
            if client.knows(plugin):
                client.run("algo", "update", plugin)
            else:
                client.run("algo", "add", arguments.namespace, plugin)
            # ikcli 0.9.1 fails if it is given the license and the version; it asks for what it is not given.
            print(f"The client asks for the license: it is {LICENSE}.")
            client.run("algo", "publish", plugin, "--version", version())


if __name__ == "__main__":
    main()
