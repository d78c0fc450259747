"""A form derived from a parameter schema: what a person sees and may do, without any toolkit.

A field of a schema says how it appears by an `InForm` beside its `Field`; one that says nothing appears among the
advanced fields. Its label is its `title`, or else its key in words; everything else (help, range, choices) is the
schema's own. Values are texts throughout, as in the host's map, because what a person is typing need not be right yet.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .schema import ParameterError, ParameterSchema

Kind = Literal["choice", "switch", "integer", "number", "text"]
Picker = Literal["", "file", "folder", "file or folder", "new folder"]

REST = "More"
"""The group of advanced fields that name none."""

LARGEST_INTEGER = 2**31 - 1
"""Toolkits count in 32 bits; a field that may be larger is typed as text."""


class When:
    """A condition on other fields: holds where the whole text of each matches its regular expression."""

    def __init__(self, because: str, **patterns: str) -> None:
        self.because = because
        self._patterns = {key: re.compile(pattern) for key, pattern in patterns.items()}

    def holds(self, values: Mapping[str, str]) -> bool:
        return all(pattern.fullmatch(values.get(key, "")) for key, pattern in self._patterns.items())


@dataclass(frozen=True)
class InForm:
    """How a parameter appears.

    Attributes:
        first: among the few that a newcomer sees.
        group: the heading of an advanced field.
        suggestions: texts offered beside free input; they are not paths.
        picker: what may be picked from the disk; an existing one, unless it is a new folder.
        files: the picker's filter for files, in Qt's notation.
        minimum_means: what the smallest number stands for, such as "off".
        idle: conditions under which the parameter has no effect, each with the reason.
        ruled_out: by choice or suggestion, the condition under which it is not available.
    """

    first: bool = False
    group: str = REST
    suggestions: tuple[str, ...] = ()
    picker: Picker = ""
    files: str = ""
    minimum_means: str = ""
    idle: tuple[When, ...] = ()
    ruled_out: Mapping[str, When] = field(default_factory=dict)


@dataclass(frozen=True)
class FormField:
    """One field. `low` and `high` are those of a number; `choices` include the suggestions of a text."""

    key: str
    title: str
    help: str
    kind: Kind
    choices: tuple[str, ...]
    low: float
    high: float
    look: InForm


@dataclass(frozen=True)
class Problem:
    """What keeps a form from being applied: a sentence for a person, and the fields it is about."""

    keys: tuple[str, ...]
    sentence: str


class Form:
    """The form of a schema.

    Args:
        schema: what can be set.
        read: the parser that the task itself uses, so that form and Python accept the same. Raises: ParameterError.
        gpu: whether this machine may have a GPU; without one, `auto` for the device is the same as `cpu`.
    """

    def __init__(
        self,
        schema: type[ParameterSchema],
        read: Callable[[Mapping[str, object]], ParameterSchema],
        gpu: bool = True,
    ) -> None:
        self._schema = schema
        self._read = read
        self._gpu = gpu
        properties = schema.model_json_schema()["properties"]
        self.fields = {key: _field(schema, key, properties[key]) for key in properties}

    @property
    def first(self) -> Sequence[FormField]:
        """The few that matter first."""
        return [one for one in self.fields.values() if one.look.first]

    @property
    def advanced(self) -> Mapping[str, Sequence[FormField]]:
        """The others by their headings, in the schema's order; fields that name no heading come last."""
        groups: dict[str, list[FormField]] = {}
        for one in self.fields.values():
            if not one.look.first:
                groups.setdefault(one.look.group, []).append(one)
        if REST in groups:
            groups[REST] = groups.pop(REST)
        return groups

    def texts(self, values: Mapping[str, object]) -> dict[str, str]:
        """The host's map as the form shows it: every field and nothing else, keys of other plugins translated.

        Refused values stand as they are. Never raises.
        """
        return self._schema.readable_strings(values)

    def defaults(self) -> dict[str, str]:
        return self._schema().to_strings()

    def idle(self, values: Mapping[str, str]) -> dict[str, str]:
        """The fields that have no effect beside the others' values, each with the reason."""
        return {
            key: condition.because
            for key, one in self.fields.items()
            for condition in reversed(one.look.idle)
            if condition.holds(self._here(values))
        }

    def ruled_out(self, key: str, values: Mapping[str, str]) -> dict[str, str]:
        """The choices of a field that are not available with the others' values, each with the reason."""
        conditions = self.fields[key].look.ruled_out
        here = self._here(values)
        return {choice: condition.because for choice, condition in conditions.items() if condition.holds(here)}

    def problems(self, values: Mapping[str, str]) -> list[Problem]:
        """Everything that keeps these texts from being applied; empty if they can be."""
        found = self.refusals(values)
        idle = self.idle(values)
        for key, one in self.fields.items():
            if key in idle or any(key in problem.keys for problem in found):
                continue
            value = values[key]
            reason = self.ruled_out(key, values).get(value) or _missing(one, value)
            if reason:
                found.append(Problem((key,), f"{one.title}: {reason}"))
        return found

    def refusals(self, values: Mapping[str, object]) -> list[Problem]:
        """Why the task would refuse the host's map; empty if it would not."""
        try:
            self._read(values)
        except ParameterError as error:
            return [self._for_a_person(sentence) for sentence in error.problems]
        return []

    def _here(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """What the values come to on this machine."""
        on_cpu = not self._gpu and values.get("device") == "auto"
        return {**values, "device": "cpu"} if on_cpu else values

    def _for_a_person(self, sentence: str) -> Problem:
        """A sentence of the schema with the fields' titles in the place of their keys and of what was typed."""
        about = tuple(key for key in self.fields if re.search(rf"\b{key} = ", sentence))
        alone = re.match(rf"({'|'.join(self.fields)}) = (?:'[^']*'|\S+): ", sentence)
        if not alone:
            return Problem(about, sentence)
        return Problem(about, f"{self.fields[alone[1]].title}: {sentence[alone.end() :]}")


def _field(schema: type[ParameterSchema], key: str, spec: Mapping[str, Any]) -> FormField:
    declared = schema.model_fields[key]
    look = next((extra for extra in declared.metadata if isinstance(extra, InForm)), InForm())
    kind = _kind(spec)
    choices = tuple(map(str, spec.get("enum", ()))) or look.suggestions
    allowed = "" if kind in ("choice", "switch") else f" Allowed: {schema.allowed(key)}."
    return FormField(
        key=key,
        title=declared.title or key.replace("_", " ").capitalize(),
        help=f"{schema.meaning(key)}{allowed}".strip(),
        kind=kind,
        choices=choices,
        low=spec.get("minimum", -LARGEST_INTEGER),
        high=spec.get("maximum", LARGEST_INTEGER),
        look=look,
    )


def _kind(spec: Mapping[str, Any]) -> Kind:
    if "enum" in spec:
        return "choice"
    within = spec.get("minimum", 0) >= -LARGEST_INTEGER and spec.get("maximum", 0) <= LARGEST_INTEGER
    kinds: dict[str, Kind] = {"boolean": "switch", "integer": "integer", "number": "number"}
    return kinds.get(spec.get("type", ""), "text") if within else "text"


def _missing(one: FormField, value: str) -> str:
    """Why a path cannot be meant; empty if it can."""
    picker = one.look.picker
    if not picker or not value or value in one.choices:
        return ""
    path = Path(value).expanduser()
    if picker == "new folder":
        existing = next((parent for parent in [path, *path.absolute().parents] if parent.exists()), path)
        return "" if existing.is_dir() else f"{existing} is a file, not a folder"
    there = {"file": path.is_file, "folder": path.is_dir, "file or folder": path.exists}[picker]()
    return "" if there else f"there is no such {picker}: {value}"
