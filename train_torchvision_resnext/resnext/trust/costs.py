"""What each wrong answer costs, and the answer whose expected cost is least.

Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001: an answer's expected cost is the mean of what it costs
with each class as the true one, weighted by the probabilities of the classes.
"""

import csv
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 2**26
MAX_CLASSES = 4000
"""Of which a table takes 128 MB."""
PROBLEMS_NAMED = 10

Probabilities = NDArray[np.float64]
"""N x C, in [0, 1]."""

Indices = NDArray[np.int64]
"""N class indices in 0..C-1."""


class CostError(ValueError):
    """The costs cannot be used; the message names all that is wrong with them."""

    def __init__(self, problems: Sequence[str], unnamed: int = 0) -> None:
        """With so many problems more than are named in sentences."""
        more = len(problems) - PROBLEMS_NAMED + unnamed
        super().__init__("; ".join([*problems[:PROBLEMS_NAMED], *([f"and {more} more"] if more > 0 else [])]))


@dataclass(frozen=True, eq=False)
class Costs:
    """What wrong answers cost, in a unit of the user's.

    Attributes:
        table: float64, C x C, in index order: rows are the true classes, columns the answers. At least 0, on the
            diagonal 0, and not all of it 0.
    """

    table: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or len(set(self.table.shape)) != 1:
            raise CostError([f"costs of shape {self.table.shape}, expected C x C"])
        _require_few(len(self.table))
        _require_costs(self.table, range(len(self.table)))

    @property
    def digest(self) -> str:
        """Tells tables apart."""
        return hashlib.sha256(np.ascontiguousarray(self.table).tobytes()).hexdigest()[:16]

    def expected(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """N x C: what each answer costs on average."""
        return np.asarray(probabilities @ self.table)

    def decide(self, probabilities: Probabilities) -> Indices:
        """The answers of least expected cost; of equal ones the most probable, then the first."""
        expected = self.expected(probabilities)
        least = expected == expected.min(axis=1, keepdims=True)
        return np.asarray(np.where(least, probabilities, -1).argmax(axis=1))

    def mean(self, answers: Indices, targets: Indices) -> float:
        """What these answers cost on average; `targets` are the true classes."""
        return float(self.table[targets, answers].mean())


def answers_of(probabilities: Probabilities, costs: Costs | None) -> Indices:
    """The most probable classes; with costs, those of least expected cost."""
    return np.asarray(probabilities.argmax(axis=1)) if costs is None else costs.decide(probabilities)


def read_costs(path: Path, labels: Sequence[str] | None = None) -> Costs:
    """Read a table in CSV, UTF-8: the first row names the answers, each further one a true class and what they cost.

    Rows and columns may be in any order; the first cell of all says nothing.

    Args:
        labels: the classes, in index order; None = those of the first row.

    Raises:
        CostError: with all that is wrong.
    """
    rows = _cells(path)
    answers, classes = rows[0][1:], [row[0] for row in rows[1:]]
    labels = answers if labels is None else labels
    _require_few(max(len(answers), len(classes), len(labels)))
    problems = [*_names("first row", answers, labels), *_names("first column", classes, labels)]
    problems += [
        f"the row of {row[0]!r} has {len(row) - 1} costs, expected {len(answers)}"
        for row in rows[1:]
        if len(row) != len(rows[0])
    ]
    if problems:
        raise CostError(problems)
    text = dict(zip(classes, rows[1:], strict=True))
    columns = {name: number + 1 for number, name in enumerate(answers)}
    order = [columns[label] for label in labels]
    table = np.zeros((len(labels), len(labels)))
    for true, label in enumerate(labels):
        for answer, column in enumerate(order):
            cell = text[label][column]
            try:
                table[true, answer] = float(cell)
            except ValueError:
                problems.append(f"{label!r} taken for {labels[answer]!r} costs {cell!r}, expected a number")
    _require_costs(table, labels, problems)
    return Costs(table)


def _cells(path: Path) -> list[list[str]]:
    """The rows that are not empty, at least one. Raises: CostError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CostError([f"the file has {path.stat().st_size:,} bytes, at most {MAX_BYTES:,} may be"])
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = [[unicodedata.normalize("NFC", cell.strip()) for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CostError([f"it cannot be read as CSV in UTF-8: {reason}"]) from error
    rows = [row for row in found if any(row)]
    if not rows or len(rows[0]) < 2:
        raise CostError(
            ["its first row names no answers: expected an empty cell, then the classes, with commas between"]
        )
    return rows


def _require_few(classes: int) -> None:
    """Raises: CostError."""
    if classes > MAX_CLASSES:
        raise CostError([f"costs of {classes:,} classes, at most {MAX_CLASSES:,} may have some"])


def _names(where: str, names: Sequence[str], labels: Sequence[str]) -> list[str]:
    counts, wanted = Counter(names), set(labels)
    found = (
        ("lacks", [label for label in labels if label not in counts]),
        ("has the unknown classes", [name for name in names if name not in wanted]),
        ("names more than once", [name for name, count in counts.items() if count > 1]),
    )
    return [f"its {where} {what} {', '.join(map(repr, wrong))}" for what, wrong in found if wrong]


def _require_costs(table: NDArray[np.float64], names: Sequence[object], problems: Sequence[str] = ()) -> None:
    """Check the numbers.

    Args:
        names: of the classes.
        problems: that are known already.

    Raises:
        CostError: with all problems, the first of them in sentences.
    """
    wrong = np.argwhere(~np.isfinite(table) | (table < 0) | (np.eye(len(table), dtype=bool) & (table != 0)))
    named = list(problems)
    for true, answer in wrong[:PROBLEMS_NAMED]:
        allowed = "0, for a right answer costs nothing" if true == answer else "a number of at least 0"
        named.append(f"{names[true]!r} taken for {names[answer]!r} costs {table[true, answer]:g}, expected {allowed}")
    if not named and not table.any():
        named.append("no wrong answer costs anything")
    if named:
        raise CostError(named, unnamed=max(0, len(wrong) - PROBLEMS_NAMED))
