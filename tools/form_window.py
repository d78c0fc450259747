"""A plugin's form as STUDIO opens it, without STUDIO: the host's own widget class, off the screen.

Needs PyQt6 of the Qt version that Ikomia brings (requirements-studio.txt), and a process of its own: the order in
which Ikomia and Qt are torn down at exit can crash, so that a caller ends with `leave`.
"""

import importlib
import os
import sys
from typing import Any

# Both are read when Qt starts.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_LOGGING_RULES", "*=false")

import ikomia  # noqa: F401  (brings its own Qt libraries; PyQt6 must find them loaded)
from ikomia import core
from PyQt6.QtCore import QMetaObject
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QToolButton, QWidget

application = QApplication.instance() or QApplication([])


class FormWindow:
    """One form in a window.

    Attributes:
        sent: the host's map of every Apply that reached the host.
    """

    def __init__(self, plugin: str, parameters: Any = None) -> None:
        before = set(_host_windows())
        door = importlib.import_module(f"{plugin}.{plugin}").IkomiaPlugin()
        self.form = door.get_widget_factory().create(parameters)
        (self.window,) = set(_host_windows()) - before
        self.sent: list[dict[str, str]] = []
        self.form.emit_apply = self._receive
        self.window.resize(420, 640)
        self.window.show()

    def _receive(self, parameters: Any) -> None:
        self.sent.append(dict(parameters.get_values()))
        core.CWorkflowTaskWidget.emit_apply(self.form, parameters)

    def field(self, key: str) -> Any:
        """The widget that takes the input of a parameter."""
        return self.window.findChild(QWidget, key)

    def type_text(self, key: str, text: str) -> None:
        """Type into a field, in the place of what is there."""
        field = self.field(key)
        edit = field.lineEdit() if isinstance(field, QComboBox) else field
        edit.selectAll()
        QTest.keyClicks(edit, text)

    def choose(self, key: str, choice: str) -> None:
        """Take one of the choices of a closed list."""
        self.field(key).setCurrentIndex(self.field(key).findText(choice))

    def unfold(self, unfolded: bool = True) -> None:
        self.window.findChild(QToolButton, "advanced").setChecked(unfolded)

    def apply(self) -> None:
        """Click the host's own button."""
        (button,) = [one for one in self.window.findChildren(QPushButton) if one.text() == "Apply"]
        button.click()

    def parameters_changed(self) -> None:
        """What the host calls when parameters were set elsewhere."""
        QMetaObject.invokeMethod(self.window, "onParametersChanged")

    def notice(self) -> str:
        """The problems shown; empty while there are none."""
        label = self.window.findChild(QLabel, "problems")
        return str(label.text()) if label.isVisibleTo(self.window) else ""

    def picture(self, path: str, width: int, height: int) -> None:
        """Save how the window looks."""
        self.window.resize(width, height)
        application.processEvents()
        self.window.grab().save(path)


def _host_windows() -> list[QWidget]:
    return [one for one in QApplication.topLevelWidgets() if one.metaObject().className() == "CWorkflowTaskWidget"]


def leave() -> None:
    """End the process here and now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
