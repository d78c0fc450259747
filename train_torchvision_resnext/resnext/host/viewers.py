"""Viewers for `ikomia.utils.displayIO`, which has none for data and for folders.

That module imports matplotlib, which takes a second. So viewers are registered when it is imported, and not before.
"""

import importlib.util
import json
import sys
from importlib.abc import MetaPathFinder

from ikomia.dataprocess import CPathIO
from ikomia.dataprocess.io import DataDictIO

DISPLAY = "ikomia.utils.displayIO"
MOST_LINES, LONGEST_LINE = 60, 120


class Watcher(MetaPathFinder):
    """Registers the viewers as soon as the module that shows things has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != DISPLAY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                try:
                    execute(module)
                except Exception:
                    # It raises on a machine without a screen, and may be imported again.
                    sys.meta_path.insert(0, self)
                    raise
                register_viewers(module.display)

            spec.loader.exec_module = execute_and_register
        return spec


def offer_viewers():
    """Let `display` show data and folders, now or when it is imported."""
    if module := sys.modules.get(DISPLAY):
        register_viewers(module.display)
    else:
        sys.meta_path.insert(0, Watcher())


def register_viewers(display):
    """Give `display` the viewers that it lacks."""
    for shown_type, viewer in ((DataDictIO, show_data), (CPathIO, show_path)):
        if shown_type not in display.registry:
            display.register(shown_type, viewer)


def show_data(data, title="", fig=None, **_):
    """Show a dict as indented JSON."""
    if data.is_data_available():
        lines = json.dumps(data.data, indent=2, ensure_ascii=False).splitlines()
        more = [f"... {len(lines) - MOST_LINES:,} more lines"] if len(lines) > MOST_LINES else []
        _show_lines([*lines[:MOST_LINES], *more], title, fig)


def show_path(path, title="", fig=None, **_):
    """Show a path as text."""
    if path.get_path():
        _show_lines([path.get_path()], title, fig)


def _show_lines(lines, title, fig):
    import matplotlib.pyplot as plt

    figure = fig or plt.figure(figsize=(8, 1 + 0.15 * len(lines)))
    if title:
        figure.suptitle(title)
    text = "\n".join(line[:LONGEST_LINE] for line in lines)
    # A label may hold a dollar sign, which is no formula.
    figure.text(0.02, 0.9, text, va="top", family="monospace", fontsize=8, parse_math=False)
    if fig is None:
        plt.show()
