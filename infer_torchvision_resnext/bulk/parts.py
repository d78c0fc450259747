"""Rows → the files of OUTPUT, each of which is whole or absent."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..resnext.folder.whole import whole_file
from ..resnext.host.shown_text import FORMULA
from .answering import Row
from .inputs import require_package

FORMATS = ("parquet", "csv")


def part_file(output: Path, number: int, form: str) -> Path:
    """Where a part lies."""
    return output / f"part-{number:06}.{form}"


def require_format(form: str) -> None:
    """Raises: InputError, if a package is missing; ValueError for an unknown one."""
    if form not in FORMATS:
        raise ValueError(f"format = {form!r}: must be one of {', '.join(FORMATS)}")
    if form == "parquet":
        require_package("pyarrow", "Parquet output, unless format is csv,")


def write_parts(output: Path, form: str, rows: Iterator[Row], parts: Iterable[tuple[int, int]]) -> int:
    """Write rows, in order, into parts given by number and count; fewer rows end it. Returns how many were written."""
    written = 0
    for number, count in parts:
        part = list(islice(rows, count))
        if part:
            write_part(part_file(output, number, form), form, part)
        written += len(part)
        if len(part) < count:
            break
    return written


def write_part(file: Path, form: str, rows: Sequence[Row]) -> None:
    """Write a part beside its place and rename it: a killed process leaves no half of one. Raises: OSError."""
    write: Callable[[Path, Sequence[Row]], None] = _write_parquet if form == "parquet" else _write_csv
    with whole_file(file) as draft:
        write(draft, rows)


def _write_parquet(file: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, Any] = {
        "path": pa.string(),
        "frame": pa.int64(),
        "answer": pa.string(),
        "probability": pa.float64(),
        "reason": pa.string(),
        "labels": pa.list_(pa.string()),
        "probabilities": pa.list_(pa.float64()),
        "decode_ms": pa.float64(),
        "forward_ms": pa.float64(),
        "model": pa.string(),
        "error": pa.string(),
    }
    parquet.write_table(pa.Table.from_pylist([row._asdict() for row in rows], pa.schema(columns)), file)


def _write_csv(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", encoding="utf-8", newline="") as text:
        table = csv.writer(text)
        table.writerow(Row._fields)
        table.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Lists as JSON; what begins like a formula, which a spreadsheet would compute, behind an apostrophe."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
