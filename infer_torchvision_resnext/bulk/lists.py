"""Lists and manifests → the images that they name, in the encodings and column types in which programs write them."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

_BEGINNINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = (",", ";", "\t")

LARGEST_CELL = 2**30
"""Characters of a CSV cell: images written as text fit in."""

_REMEDIES = {
    **dict.fromkeys((".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip"), "unpack it and give the folder"),
    **dict.fromkeys((".doc", ".docx", ".ods", ".xls", ".xlsx"), "save it as .csv in UTF-8"),
    **dict.fromkeys((".json", ".jsonl"), "write the paths to a .txt file, one a line, or to a .csv file"),
}


class InputError(ValueError):
    """INPUT cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Embedded:
    """A column of a Parquet file that holds the images themselves.

    Attributes:
        file: the path of the Parquet file.
        column: its name; bytes, or a struct of bytes and path, as Hugging Face's datasets write it.
    """

    file: str
    column: str


@dataclass(frozen=True)
class Listing:
    """What a list or manifest names.

    Attributes:
        paths: one for each row; of embedded images "FILE#NUMBER", or "FILE#NUMBER/NAME".
        embedded: where the images are, if they lie in the manifest itself.
    """

    paths: Sequence[str]
    embedded: Embedded | None = None


def read_list(path: Path) -> Listing:
    """A text file with a path or URL a line. Raises: InputError, it is no text."""
    return Listing([line for line in map(str.strip, _text(path).splitlines()) if line])


def read_csv(path: Path, column: str) -> Listing:
    """The column of a .csv file, separated by commas, semicolons or tabs. Raises: InputError."""
    text = _text(path)
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    with _large_cells():
        try:
            table = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter)
            _require_column(path, column, table.fieldnames or ())
            return Listing([row[column] or "" for row in table])
        except csv.Error as error:
            raise InputError(f"{path} cannot be read as CSV, after line {table.line_num}: {error}") from error


def read_parquet(path: Path, column: str) -> Listing:
    """The column of a .parquet file: paths as text, or images as bytes. Raises: InputError."""
    parquet = require_package("pyarrow.parquet", "a Parquet manifest")
    types = import_module("pyarrow").types
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error
    with file:
        schema = file.schema_arrow
        _require_column(path, column, schema.names)
        kind = schema.field(column).type
        fields = [kind.field(index).name for index in range(kind.num_fields)] if types.is_struct(kind) else []
        if "bytes" in fields:
            names = _names_in(file, column) if "path" in fields else [""] * file.metadata.num_rows
            paths = [f"{path.name}#{number}/{name}".rstrip("/") for number, name in enumerate(names)]
            return Listing(paths, Embedded(str(path), column))
        if types.is_binary(kind) or types.is_large_binary(kind):
            numbers = range(file.metadata.num_rows)
            return Listing([f"{path.name}#{number}" for number in numbers], Embedded(str(path), column))
        if types.is_dictionary(kind):
            kind = kind.value_type
        if not (types.is_string(kind) or types.is_large_string(kind)):
            raise InputError(
                f"{path}: the column {column!r} holds {kind}, not paths as text and not images as bytes; name the one "
                f"that does with --column: its columns are {', '.join(schema.names)}"
            )
        return Listing([value or "" for value in file.read(columns=[column])[column].to_pylist()])


def _names_in(file: Any, column: str) -> Iterator[str]:
    """The names in a struct of bytes and path, without reading the bytes."""
    for batch in file.iter_batches(columns=[f"{column}.path"]):
        for value in batch.column(0).to_pylist():
            yield ((value or {}).get("path") or "").replace("\\", "/").rpartition("/")[2]


def _text(path: Path) -> str:
    """Of a file in UTF-8 or UTF-16, as its first bytes say. Raises: InputError, it is neither."""
    content = path.read_bytes()
    encoding = next((name for mark, name in _BEGINNINGS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        remedy = _REMEDIES.get(
            path.suffix.lower(), "expected a text file in UTF-8 or UTF-16, with a path or URL a line"
        )
        raise InputError(f"INPUT = {str(path)!r} is not a folder, an image, a video or a list of paths: {remedy}")
    return text


@contextmanager
def _large_cells() -> Iterator[None]:
    before = csv.field_size_limit(LARGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _require_column(path: Path, column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise InputError(
            f"{path} has no column {column!r}: its columns are {', '.join(columns)}; name the one that holds the paths "
            "with --column"
        )


def require_package(module: str, what: str) -> Any:
    """An optional module. Raises: InputError, with what is to be installed."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            f"{what} needs the package {package}: run pip install {package}, or pip install -r requirements-scale.txt"
        ) from error
