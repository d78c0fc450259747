"""The form in STUDIO: `form.py` in PyQt6. Imported there only, where PyQt6 is."""

import html
import re
from pathlib import Path

from ikomia import core
from ikomia.utils import qtconversion
from PyQt6.QtCore import QEvent, QObject, Qt
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..machine.devices import gpu_is_there
from .form import Form

WRONG = "color: #d9534f; font-weight: bold"
NOTICE = "background: rgba(217, 83, 79, 40); border: 1px solid #d9534f; border-radius: 4px"


class FormWidget(core.CWorkflowTaskWidget):
    """Shows a task's parameters; sends them at Apply, once all of them are right.

    Args:
        parameters: the host's map of strings, which Apply fills.
        schema: what can be set.
        read: strings → an instance of the schema; raises `ParameterError`.
    """

    def __init__(self, parameters, schema, read):
        core.CWorkflowTaskWidget.__init__(self, None)
        self.parameters = parameters
        self._form = Form(schema, read, gpu_is_there())
        self._wheel = WheelPasser()
        self._labels, self._editors = {}, {}
        self._heading, self._problems = "", ()
        self._notice = QLabel(objectName="problems", wordWrap=True, margin=8, styleSheet=NOTICE)
        self._expander = QToolButton(objectName="advanced", text="Advanced", checkable=True, autoRaise=True)
        self._expander.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._advanced = QWidget()
        self._layout = self._arranged()
        self._expander.toggled.connect(self._unfold)
        self._unfold(False)
        self.on_parameters_changed()
        self.set_layout(qtconversion.PyQtToQt(self._layout))

    def on_parameters_changed(self):
        """Show what was set elsewhere, in Python for example."""
        values = dict(self.parameters.get_values())
        self._fill(self._form.texts(values))
        # A workflow file may hold values that the task refuses.
        self._show_problems("These saved values cannot be used", self._form.refusals(values))

    def on_apply(self):
        texts = self._texts()
        self._show_problems("Not applied", self._form.problems(texts))
        if not self._problems:
            self.parameters.set_values(texts)
            self.emit_apply(self.parameters)

    def _show_problems(self, heading, problems):
        self._heading, self._problems = heading, problems
        self._refresh()
        if problems:
            self._reveal_problems()

    def _arranged(self):
        layout = QVBoxLayout()
        layout.addWidget(self._notice)
        layout.addWidget(self._section(self._form.first))
        defaults = QPushButton("Defaults", objectName="defaults", toolTip="Fill in the defaults. Apply sends them.")
        defaults.clicked.connect(lambda: self._fill(self._form.defaults()))
        line = QHBoxLayout()
        line.addWidget(self._expander)
        line.addStretch()
        line.addWidget(defaults)
        layout.addLayout(line)
        groups = QVBoxLayout(self._advanced)
        groups.setContentsMargins(0, 0, 0, 0)
        for group, fields in self._form.advanced.items():
            groups.addWidget(QLabel(f"<b>{html.escape(group)}</b>"))
            groups.addWidget(self._section(fields))
        layout.addWidget(self._advanced)
        widest = max(label.sizeHint().width() for label in self._labels.values())
        for label in self._labels.values():
            label.setMinimumWidth(widest)
        return layout

    def _section(self, fields):
        section = QWidget()
        rows = QFormLayout(section)
        rows.setContentsMargins(0, 0, 0, 8)
        # In a narrow dock a field goes below its label.
        rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for field in fields:
            editor = EDITORS[field.kind](field, self._refresh)
            editor.widget.setObjectName(field.key)
            editor.widget.installEventFilter(self._wheel)
            editor.widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            label = QLabel(field.title)
            rows.addRow(label, editor.row)
            self._labels[field.key], self._editors[field.key] = label, editor
        return section

    def _texts(self):
        return {key: editor.text() for key, editor in self._editors.items()}

    def _fill(self, texts):
        for key, editor in self._editors.items():
            editor.show(texts[key])
        self._problems = ()
        self._refresh()

    def _refresh(self):
        """Enable what has an effect, say why the rest has none, mark what is wrong."""
        texts = self._texts()
        if len(texts) < len(self._form.fields):
            return  # still being built
        wrong = {key for problem in self._problems for key in problem.keys}
        idle = self._form.idle(texts)
        for key, editor in self._editors.items():
            # What is wrong stays within reach, even where it has no effect.
            reason = "" if key in wrong else idle.get(key, "")
            tip = _rich([f"Not used: {reason}." if reason else "", self._form.fields[key].help, f"In Python: `{key}`"])
            for part in (self._labels[key], editor.row):
                part.setEnabled(not reason)
                part.setToolTip(tip)
            editor.rule_out(self._form.ruled_out(key, texts))
            editor.explain(reason)
            self._labels[key].setStyleSheet(WRONG if key in wrong else "")
        sentences = [f"&bull; {html.escape(problem.sentence)}" for problem in self._problems]
        self._notice.setText("<br>".join([f"<b>{self._heading}</b>", *sentences]))
        self._notice.setVisible(bool(sentences))

    def _reveal_problems(self):
        wrong = {key for problem in self._problems for key in problem.keys}
        if any(not self._form.fields[key].look.first for key in wrong):
            self._expander.setChecked(True)
        above = self._notice.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if above is not None:
            above.verticalScrollBar().setValue(0)

    def _unfold(self, unfolded):
        self._expander.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._advanced.setVisible(unfolded)


class Editor:
    """What a field is edited with: `widget` takes the input, `row` is all that stands beside the label."""

    def __init__(self, widget):
        self.widget = self.row = widget

    def rule_out(self, reasons):
        """Gray out choices; reasons by choice."""

    def explain(self, reason):
        """Say in the field itself why it is disabled, where there is room."""


class Choice(Editor):
    """One of several; or free text with suggestions. A saved text that is none of them is a further choice."""

    def __init__(self, field, changed, editable=False):
        super().__init__(QComboBox(editable=editable))
        self._count = len(field.choices)
        self.widget.addItems(field.choices)
        # As wide as the dock allows, not as wide as the longest path.
        self.widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.widget.setMinimumContentsLength(5)
        self.widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.widget.currentTextChanged.connect(lambda text: changed())

    def text(self):
        return self.widget.currentText().strip()

    def show(self, text):
        if self.widget.isEditable():
            self.widget.setEditText(text)
            return
        while self.widget.count() > self._count:
            self.widget.removeItem(self._count)
        if self.widget.findText(text) < 0:
            self.widget.addItem(text)
        self.widget.setCurrentText(text)

    def rule_out(self, reasons):
        text = self.widget.currentText()
        for index in range(self.widget.count()):
            item = self.widget.model().item(index)
            item.setEnabled(item.text() not in reasons)
            item.setToolTip(_rich([reasons.get(item.text(), "")]))
        # Qt writes the current item over what was typed when the item's looks change.
        if self.widget.currentText() != text:
            self.show(text)


class Switch(Editor):
    """True or False. A saved text that is neither is shown beside the box until it is clicked."""

    def __init__(self, field, changed):
        super().__init__(QCheckBox())
        self.widget.stateChanged.connect(lambda state: changed())
        self.widget.clicked.connect(lambda checked: self.show(str(checked)))

    def text(self):
        return self.widget.text() or str(self.widget.isChecked())

    def show(self, text):
        refused = text not in ("True", "False")
        self.widget.setText(text if refused else "")
        self.widget.setTristate(refused)
        if refused:
            self.widget.setCheckState(Qt.CheckState.PartiallyChecked)
        else:
            self.widget.setChecked(text == "True")


class Integer(Editor):
    """An integer in its range, the smallest with its meaning in words.

    A saved text that is none is shown in the place of a number below the smallest.
    """

    def __init__(self, field, changed):
        super().__init__(QSpinBox(minimum=int(field.low), maximum=int(field.high), accelerated=True))
        self._low, self._refused = int(field.low), None
        self._meaning = f"{field.low}: {field.look.minimum_means}" if field.look.minimum_means else ""
        self.widget.setSpecialValueText(self._meaning)
        self.widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.widget.valueChanged.connect(lambda value: self._forget(value) or changed())

    def text(self):
        return str(self.widget.value()) if self._refused is None else self._refused

    def show(self, text):
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None
        if value is not None and self._low <= value <= self.widget.maximum():
            self._forget(value)
            self.widget.setValue(value)
            return
        self._refused = text
        # Qt writes this text in the place of the smallest value.
        self.widget.setMinimum(self._low - 1)
        self.widget.setSpecialValueText(text or " ")
        self.widget.setValue(self._low - 1)

    def _forget(self, value):
        if self._refused is not None and value >= self._low:
            self._refused = None
            self.widget.setSpecialValueText(self._meaning)
            self.widget.setMinimum(self._low)


class Text(Editor):
    """Free text: numbers as precise as they are typed."""

    def __init__(self, field, changed):
        super().__init__(QLineEdit())
        self.widget.textChanged.connect(lambda text: changed())

    def text(self):
        return self.widget.text().strip()

    def show(self, text):
        self.widget.setText(text)
        self.widget.setCursorPosition(0)

    def explain(self, reason):
        self.widget.setPlaceholderText(reason)


class Picked:
    """Free text that can be picked from the disk."""

    def __new__(cls, field, changed):
        editor = Choice(field, changed, editable=True) if field.choices else Text(field, changed)
        if field.look.picker:
            editor.row = cls._with_button(editor, field.look)
        return editor

    @staticmethod
    def _with_button(editor, look):
        def pick(choose, *arguments):
            start = str(Path(editor.text()).expanduser()) if editor.text() not in look.suggestions else ""
            picked = choose(editor.row, "", start, *arguments)
            # A canceled dialog changes nothing.
            if path := picked[0] if isinstance(picked, tuple) else picked:
                editor.show(path)

        actions = {}
        if "file" in look.picker:
            actions["Choose a file…"] = lambda: pick(QFileDialog.getOpenFileName, look.files)
        if "folder" in look.picker:
            actions["Choose a folder…"] = lambda: pick(QFileDialog.getExistingDirectory)
        button = QToolButton(text="…", toolTip=" ".join(actions))
        if len(actions) == 1:
            button.clicked.connect(*actions.values())
        else:
            menu = QMenu(button)
            for text, act in actions.items():
                menu.addAction(text, act)
            button.setMenu(menu)
            button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(editor.widget)
        line.addWidget(button)
        return row


EDITORS = {"choice": Choice, "switch": Switch, "integer": Integer, "number": Text, "text": Picked}


class WheelPasser(QObject):
    """Lets the mouse wheel scroll the form, not change the field that happens to lie below it."""

    def eventFilter(self, watched, event):  # noqa: N802  (Qt's name)
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def _rich(lines):
    """A tooltip that Qt wraps, with `code` set as code."""
    shown = [re.sub("`(.*?)`", r"<code>\1</code>", html.escape(line)) for line in lines if line]
    return "".join(f"<p>{line}</p>" for line in shown)
