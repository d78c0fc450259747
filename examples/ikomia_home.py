"""An Ikomia home of this project's own, so that examples and benchmarks leave the user's untouched."""

import os
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DEMO = REPOSITORY / ".demo"


def use_own_home() -> None:
    """Point Ikomia at `.demo/home` with the plugins linked into it. Must come before `import ikomia`."""
    # Downloaded weights stay where torch keeps them for all the user's programs.
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    os.environ.setdefault("TORCH_HOME", str(cache / "torch"))
    home = DEMO / "home"
    installed = home / "Ikomia" / "Plugins" / "Python"
    installed.mkdir(parents=True, exist_ok=True)
    for plugin in REPOSITORY.glob("*_torchvision_resnext"):
        link(plugin, installed / plugin.name)
    os.environ.update(HOME=str(home), USERPROFILE=str(home), IKOMIA_AUTO_COMPLETION="False")


def link(plugin: Path, place: Path) -> None:
    """Make the plugin's folder appear at `place`; copied where the system does not let us link."""
    if place.is_symlink() or place.exists():
        return
    try:
        place.symlink_to(plugin, target_is_directory=True)
    except OSError:
        shutil.copytree(plugin, place)
