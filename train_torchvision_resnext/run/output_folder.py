"""Where runs are written: never into a plugin's folder, which an update from the HUB deletes."""

import re
from pathlib import Path

from ..parameters.task import Parameters

PLUGIN = Path(__file__).parents[1]
IN_A_PLUGIN = re.compile(r"[\\/]Plugins[\\/]Python[\\/]", re.IGNORECASE)
"""In a path of any machine and system: saved workflows travel."""


def output_folder_of(setting: str) -> tuple[Path, tuple[str, ...]]:
    """The folder that `output_folder` stands for, and a note where it is not the one that was set."""
    folder = Path(setting).expanduser()
    in_this_plugin = folder.absolute().is_relative_to(PLUGIN) or folder.resolve().is_relative_to(PLUGIN.resolve())
    if not in_this_plugin and not IN_A_PLUGIN.search(setting):
        return folder, ()
    default = Path(Parameters.model_fields["output_folder"].default).expanduser()
    note = f"output_folder = {setting!r} lies in the folder of a plugin, which an update deletes"
    return default, (f"{note}: {default} is used instead",)
