"""Images that lie in a Parquet file, read a row group at a time."""

from functools import lru_cache
from importlib import import_module
from typing import Any

from ..resnext.images.rgb import ImageError
from .lists import Embedded


def content_of_row(path: str, embedded: Embedded) -> bytes:
    """The bytes of an image, by the path that `Listing` gives it. Raises: ImageError, the cell is empty; OSError."""
    number = int(path.rpartition("#")[2].partition("/")[0])
    group, first = _group_of(embedded.file, number)
    value = _values(embedded, group)[number - first].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if not content:
        raise ImageError(f"row {number} of {embedded.file} holds no bytes in the column {embedded.column!r}")
    return bytes(content)


def _group_of(file: str, number: int) -> tuple[int, int]:
    """The row group that a row lies in, and the number of the group's first row."""
    first = 0
    for group, rows in enumerate(_group_sizes(file)):
        if number < first + rows:
            return group, first
        first += rows
    raise ImageError(f"{file} has no row {number}: it was changed since the job began")


@lru_cache(maxsize=1)
def _group_sizes(file: str) -> tuple[int, ...]:
    metadata = import_module("pyarrow.parquet").read_metadata(file)
    return tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


# Rows are asked for in order, so that a group is read once by each process.
@lru_cache(maxsize=1)
def _values(embedded: Embedded, group: int) -> Any:
    with import_module("pyarrow.parquet").ParquetFile(embedded.file) as file:
        return file.read_row_group(group, columns=[embedded.column])[embedded.column]
