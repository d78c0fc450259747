"""The columns of the table: one declaration, from which rows, both file formats and a job's identity derive."""

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

Embedding = tuple[float, ...]


class Row(NamedTuple):
    """One image of the table; the annotations decide the types in the files.

    Attributes:
        path: as INPUT names it; of a folder's images relative to the folder.
        frame: its number in a video, from 0; None for a file.
        answer, probability, reason, labels, probabilities: as of `Prediction`; None or empty where there is an error.
        expected_cost: of each label as the answer; None where answers are not decided by cost.
        set: labels among which the true one is as often as `coverage` says; None without it.
        known_score: how much the image resembles the training images; None where the model cannot tell.
        embedding: features that the image was classified by, in float32; the column exists with `embeddings` only.
        decode_ms: milliseconds of reading, decoding and resizing, in whichever process.
        forward_ms: milliseconds of the forward pass, an equal share of the batch's.
        model: SHA-256 of the weights.
        error: why there is no answer; None if there is one.
    """

    path: str
    frame: int | None
    answer: str | None
    probability: float | None
    reason: str | None
    labels: list[str]
    probabilities: list[float]
    expected_cost: list[float] | None
    set: list[str] | None
    known_score: float | None
    embedding: Embedding | None
    decode_ms: float
    forward_ms: float | None
    model: str
    error: str | None


KINDS: dict[Any, str] = {
    str: "string",
    int: "int64",
    float: "float64",
    list[str]: "list of string",
    list[float]: "list of float64",
    Embedding: "float32",
}
"""What an annotation of `Row` is called in a job's identity."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        kind: `string`, `int64`, `float64`, `list of ...`, or `float32[N]` for N numbers in each row.
        optional: whether a row may hold nothing there.
    """

    name: str
    kind: str
    optional: bool


def columns_for(embedding_size: int = 0) -> tuple[Column, ...]:
    """The columns of a table, in order; `embedding` among them if it has a size."""
    columns = []
    for name, hint in get_type_hints(Row).items():
        choices = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        (annotation,) = (choice for choice in choices if choice is not NoneType)
        kind = KINDS[annotation]
        if annotation == Embedding:
            if not embedding_size:
                continue
            kind = f"{kind}[{embedding_size}]"
        columns.append(Column(name, kind, NoneType in choices))
    return tuple(columns)


def storable(text: str) -> str:
    """The text with bytes that are not UTF-8, which file names may hold, written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
