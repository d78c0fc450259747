"""The files of OUTPUT, each of which is complete or absent, and what can be read back from them."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..resnext.machine.disk import whole_file
from ..resnext.machine.printable import FORMULA
from .inputs import require_package
from .table import Column, Row

Form = Literal["parquet", "csv"]
FORMATS = get_args(Form)


class DamagedPartError(ValueError):
    """A part file does not hold what was written into it."""


@dataclass(frozen=True)
class Contents:
    """What a part file holds: rows, and how many of them are errors."""

    rows: int
    errors: int


@dataclass(frozen=True)
class Table:
    """The part files of a table.

    Attributes:
        form: `parquet` or `csv`.
    """

    folder: Path
    form: Form
    columns: tuple[Column, ...]

    def file(self, number: int) -> Path:
        """Where a part lies."""
        return self.folder / f"part-{number:06}.{self.form}"

    def numbers(self) -> list[int]:
        """Of the part files that are there, in order."""
        pattern = re.compile(rf"part-(\d{{6,}})\.{self.form}")
        matches = (pattern.fullmatch(file.name) for file in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def write(self, number: int, rows: Sequence[Row]) -> None:
        """Write a part, complete or not at all, also if the process is killed. Raises: OSError."""
        write: Callable[[Path, Sequence[Row]], None] = (
            self._write_parquet if self.form == "parquet" else self._write_csv
        )
        with whole_file(self.file(number)) as draft:
            write(draft, rows)

    def inspect(self, number: int) -> Contents | None:
        """What a part holds, as its footer (Parquet) or all of its lines (CSV) say; None if there is no such file.

        Raises:
            DamagedPartError: it is cut short, empty, or holds something else.
            OSError: the disk cannot read it.
        """
        file = self.file(number)
        if not file.exists():
            return None
        with _damage(file):
            if self.form == "csv":
                error = self._names.index("error")
                flags = [bool(cells[error]) for cells in self._cells(file)]
                return Contents(len(flags), sum(flags))
            return self._contents_of_parquet(file)

    def read(self, number: int) -> list[Row]:
        """The rows of a part; written again, they give the same file. Raises: DamagedPartError, OSError."""
        file = self.file(number)
        with _damage(file):
            if self.form == "csv":
                return [
                    _row({column.name: _value(cell, column) for cell, column in zip(cells, self.columns, strict=True)})
                    for cells in self._cells(file)
                ]
            from pyarrow import parquet

            with file.open("rb") as binary:
                return [_row(values) for values in parquet.read_table(binary).to_pylist()]

    @property
    def _names(self) -> list[str]:
        return [column.name for column in self.columns]

    def _contents_of_parquet(self, file: Path) -> Contents:
        from pyarrow import parquet

        with file.open("rb") as binary, parquet.ParquetFile(binary) as part:
            if part.schema_arrow.names != self._names:
                raise DamagedPartError(f"{file} has other columns")
            rows = part.metadata.num_rows
            return Contents(rows, rows - part.read(columns=["error"]).column(0).null_count)

    def _write_parquet(self, file: Path, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        values: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else [()] * len(Row._fields)
        by_name = dict(zip(Row._fields, values, strict=True))
        schema = pa.schema([(column.name, _arrow_type(column.kind)) for column in self.columns])
        arrays = [pa.array(by_name[field.name], field.type) for field in schema]
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), file)

    def _write_csv(self, file: Path, rows: Sequence[Row]) -> None:
        with file.open("w", encoding="utf-8", newline="") as text:
            table = csv.writer(text)
            table.writerow(self._names)
            table.writerows([_cell(getattr(row, name)) for name in self._names] for row in rows)

    def _cells(self, file: Path) -> Iterator[list[str]]:
        """The rows of a CSV part as they are written. Raises: DamagedPartError, UnicodeDecodeError, csv.Error."""
        with file.open(encoding="utf-8", newline="") as text, _cells_of_any_size():
            content = text.read()
            if not content.endswith("\n"):
                raise DamagedPartError(f"{file} ends in the middle of a row")
            rows = csv.reader(io.StringIO(content, newline=""), strict=True)
            if next(rows, None) != self._names:
                raise DamagedPartError(f"{file} has other columns")
            for cells in rows:
                if len(cells) != len(self.columns):
                    raise DamagedPartError(f"{file} ends in the middle of a row")
                yield cells


def require_format(form: str) -> None:
    """Raises: InputError, if a package is missing; ValueError for an unknown one."""
    if form not in FORMATS:
        raise ValueError(f"format = {form!r}: must be one of {', '.join(FORMATS)}")
    if form == "parquet":
        require_package("pyarrow", "Parquet output, unless format is csv,")


@contextmanager
def _damage(file: Path) -> Iterator[None]:
    """Around a reader: what the content of a file causes is damage; what the disk refuses stays an OSError."""
    try:
        yield
    except DamagedPartError:
        raise
    except OSError as error:
        # pyarrow raises an OSError without a number for content that it cannot parse.
        if error.errno is not None:
            raise
        raise DamagedPartError(f"{file} is damaged: {error}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DamagedPartError(f"{file} is damaged: {error}") from error


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    """Python's limit of 128 KB for a cell is less than the labels of a large model need."""
    limit = csv.field_size_limit(sys.maxsize if sys.maxsize < 2**31 else 2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    if kind.startswith("list of "):
        return pa.list_(_arrow_type(kind.removeprefix("list of ")))
    if kind.startswith("float32["):
        # Without its length: pyarrow cannot write lists of a fixed length where a row has none.
        return pa.list_(pa.float32())
    return pa.type_for_alias({"float64": "double"}.get(kind, kind))


def _row(values: dict[str, Any]) -> Row:
    return Row(**{**dict.fromkeys(Row._fields), **values})


def spreadsheet_cell(text: str) -> str:
    """What begins like a formula, which a spreadsheet would compute, behind an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _cell(value: object) -> object:
    """Lists as JSON; formulas defused."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return spreadsheet_cell(value) if isinstance(value, str) else value


def _value(cell: str, column: Column) -> Any:
    """A cell → the value that gives the same cell."""
    if not cell and column.optional:
        return None
    if column.kind.startswith("list of "):
        return json.loads(cell)
    if column.kind == "string":
        return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell
    return int(cell) if column.kind == "int64" else float(cell)
