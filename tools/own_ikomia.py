"""The installed Ikomia, seen through links, so that the completion it writes into its own package stays apart."""

import importlib.util
from pathlib import Path

WRITTEN = ("ik.py", "autocomplete_local.cache", "autocomplete_online.cache", "__pycache__")
"""What Ikomia keeps its completion in, below `utils`."""


def own_ikomia(folder: Path) -> Path:
    """Make `folder/ikomia` look like the installed package, without a completion; `folder` belongs on PYTHONPATH.

    Raises:
        ImportError: Ikomia is not installed.
    """
    found = importlib.util.find_spec("ikomia")
    if found is None or found.origin is None:
        raise ImportError("Ikomia is not installed")
    installed, own = Path(found.origin).parent, folder / "ikomia"
    (own / "utils").mkdir(parents=True)
    for there in installed.iterdir():
        if there.name not in ("utils", "__pycache__"):
            (own / there.name).symlink_to(there)
    for there in (installed / "utils").iterdir():
        if there.name not in WRITTEN:
            (own / "utils" / there.name).symlink_to(there)
    return folder
