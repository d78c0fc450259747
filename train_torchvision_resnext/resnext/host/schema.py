"""The ground of a parameter schema: strings at the border, typed values inside, one truth for each fact.

The host keeps parameters as a map of strings. A subclass of `ParameterSchema` declares each parameter once, as a
pydantic field with type, default and range, and a docstring that is its help; parsing, error messages and the README's
table derive from it.
"""

import ast
import difflib
import functools
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from .other_keys import STANDS_FOR, translate_keys


class ParameterError(ValueError):
    """One or more parameters were refused. `problems` holds a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ParameterSchema(BaseModel):
    """Immutable, validated parameters of a task.

    Attributes:
        OLD_KEYS: keys that saved workflows hold beside ours; the host drops all that a task does not list.
        STANDS_FOR: key of another plugin → the key of ours that it sets.
    """

    OLD_KEYS: ClassVar[tuple[str, ...]] = ()
    STANDS_FOR: ClassVar[Mapping[str, str]] = STANDS_FOR

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        return tuple(cls.model_fields)

    @classmethod
    def from_strings(cls, values: Mapping[str, object]) -> Self:
        """Parse the host's map; keys left out take their defaults.

        Raises:
            ParameterError: with one sentence for every unknown key and every refused value.
        """
        problems = [cls._unknown(key) for key in values if key not in cls.model_fields]
        known = {key: _as_text(value) for key, value in values.items() if key in cls.model_fields}
        try:
            parsed = cls.model_validate(known)
        except ValidationError as error:
            problems += [cls._problem(detail) for detail in error.errors()]
        if problems:
            raise ParameterError(problems)
        return parsed

    @classmethod
    def translate(cls, values: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
        """The host's map under our keys, and a sentence for each key of another plugin that cannot be translated.

        Never raises. Keys that are not known at all stay; `from_strings` refuses them.
        """
        return translate_keys(values, cls.model_fields, cls().to_strings())

    @classmethod
    def from_host(cls, values: Mapping[str, object]) -> Self:
        """Parse the host's map, in our keys or in those of other plugins.

        Raises:
            ParameterError: with a sentence for every key or value that is refused, and for every contradiction.
        """
        ours, problems = cls.translate(values)
        try:
            parsed = cls.from_strings(ours)
        except ParameterError as error:
            raise ParameterError([*problems, *error.problems]) from error
        if problems := [*problems, *parsed.contradictions()]:
            raise ParameterError(problems)
        return parsed

    def contradictions(self) -> list[str]:
        """A sentence for each combination of values that cannot be meant."""
        return []

    @classmethod
    def readable_strings(cls, values: Mapping[str, object]) -> dict[str, str]:
        """The host's map with every key of ours, in our spelling; refused values stand as they are. Never raises."""
        ours, _ = cls.translate(values)
        return cls._readable({key: _as_text(value) for key, value in ours.items() if key in cls.model_fields})

    @classmethod
    def _readable(cls, texts: Mapping[str, str]) -> dict[str, str]:
        try:
            return cls.model_validate(texts).to_strings()
        except ValidationError as error:
            refused = {str(detail["loc"][0]) for detail in error.errors()} & texts.keys()
        if not refused:
            return {**cls().to_strings(), **texts}
        accepted = cls._readable({key: text for key, text in texts.items() if key not in refused})
        return {**accepted, **{key: texts[key] for key in refused}}

    def updated(self, values: Mapping[str, object]) -> Self:
        """These parameters with some replaced; the result is validated as a whole. Raises: ParameterError."""
        return type(self).from_strings({**self.to_strings(), **values})

    def to_strings(self) -> dict[str, str]:
        """The host's map: every key, every value a string that `from_strings` reads back."""
        return {key: _as_text(getattr(self, key)) for key in self.keys()}

    @classmethod
    def meaning(cls, key: str) -> str:
        """A parameter's help, in one line: its docstring, unless it has a description."""
        return " ".join((cls.model_fields[key].description or _docstrings(cls).get(key, "")).split())

    @classmethod
    def allowed(cls, key: str) -> str:
        """What a parameter may be, in words: its range, its choices or its own description of them."""
        spec = cls.model_json_schema()["properties"][key]
        if "allowed" in spec:
            return str(spec["allowed"])
        if "enum" in spec:
            return ", ".join(str(choice) for choice in spec["enum"])
        if spec.get("type") == "boolean":
            return "True, False"
        kind = {"integer": "an integer", "number": "a number"}.get(spec.get("type", ""), "text")
        low, high = spec.get("minimum"), spec.get("maximum")
        if low is not None and high is not None:
            return f"{kind} from {_as_text(low)} to {_as_text(high)}"
        if low is not None:
            return f"{kind} of at least {_as_text(low)}"
        return kind

    @classmethod
    def markdown_table(cls) -> str:
        """The README's table of parameters."""
        rows = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        for key, field in cls.model_fields.items():
            default = _as_text(field.default)
            shown = f"`{default}`" if default else "empty"
            rows.append(f"| `{key}` | {shown} | {cls.allowed(key)} | {cls.meaning(key)} |")
        return "\n".join(rows)

    @classmethod
    def _unknown(cls, key: str) -> str:
        near = difflib.get_close_matches(key, cls.keys(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the parameters are {', '.join(cls.keys())}"
        return f"{key!r} is not a parameter: {hint}"

    @classmethod
    def _problem(cls, detail: Any) -> str:
        key = str(detail["loc"][0])
        if detail["type"] == "value_error":
            return f"{key} = {detail['input']!r}: {detail['ctx']['error']}"
        return f"{key} = {detail['input']!r}: must be {cls._must_be(key)}"

    @classmethod
    def _must_be(cls, key: str) -> str:
        spec = cls.model_json_schema()["properties"][key]
        one_of = "enum" in spec or spec.get("type") == "boolean"
        return f"one of {cls.allowed(key)}" if one_of else cls.allowed(key)


@functools.cache
def _docstrings(schema: type[ParameterSchema]) -> dict[str, str]:
    """What stands below each field in the source, which Python does not keep; empty where there is no source.

    pydantic could read it too, but would for every import of the plugin, where only forms and tables show it.
    """
    found: dict[str, str] = {}
    for each in reversed(schema.__mro__):
        with suppress(OSError, TypeError):
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
            for pair in pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
                match pair:
                    case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[key] = text
    return found


def _as_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
