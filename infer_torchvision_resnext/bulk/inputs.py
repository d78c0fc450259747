"""INPUT → the images that it names: a folder, a list of paths or URLs, a manifest, or a video."""

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..resnext.folder.whole import sha256_of
from ..resnext.images.files import SUFFIXES

TABLES = (".csv", ".parquet")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


class InputError(ValueError):
    """INPUT cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Images:
    """What is to be classified, in order.

    Attributes:
        base: folder or URL that relative paths start from.
        paths: one for each row, as the rows name them; empty for a video.
        confined: whether links that lead out of `base` are refused.
        video: the file whose frames are the rows; empty for images.
    """

    base: str
    paths: Sequence[str]
    confined: bool = False
    video: str = ""

    def digest(self) -> str:
        """SHA-256 of the list, or of a video's content: changes with any path that is added, lost or moved."""
        if self.video:
            return sha256_of(Path(self.video))
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(path.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()


def read_input(given: str, column: str = "path") -> Images:
    """Find out what INPUT is, and list it.

    Args:
        given: a folder or the URL of one, whose images are taken with those of its sub-folders; a .csv or .parquet
            manifest; a video; any other file is a list with a path or URL a line. Paths in a list or manifest are
            relative to its folder.
        column: of a manifest, where the paths are.

    Raises:
        InputError: there is no such file, it holds no images, or a package is missing.
    """
    images = _read(given, column)
    if not images.paths and not images.video:
        raise InputError(f"INPUT = {given!r} holds no images: expected files that end in {', '.join(SUFFIXES)}")
    for protocol in sorted({path.partition("://")[0] for path in (images.base, *images.paths) if "://" in path}):
        _require_protocol(protocol)
    return images


def _read(given: str, column: str) -> Images:
    if "://" in given:
        return _of_bucket(given)
    path = Path(given).expanduser().absolute()
    if path.is_dir():
        return Images(str(path), list(_walk(path)), confined=True)
    if not path.is_file():
        raise InputError(f"INPUT = {given!r}: there is no such file or folder (looked for {path})")
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        return Images(str(path.parent), (), video=str(path))
    if suffix in SUFFIXES:
        return Images(str(path.parent), (path.name,))
    if suffix in TABLES:
        return Images(str(path.parent), (_csv_column if suffix == ".csv" else _parquet_column)(path, column))
    with path.open(encoding="utf-8") as file:
        return Images(str(path.parent), [line for line in map(str.strip, file) if line])


def _walk(folder: Path) -> Iterator[str]:
    """Image files below a folder, relative to it, sorted within each; links to folders are not entered."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _of_bucket(url: str) -> Images:
    _require_protocol(url.partition("://")[0])
    system, root = import_module("fsspec.core").url_to_fs(url)
    found = sorted(system.find(root))
    paths = [path.removeprefix(root).lstrip("/") for path in found if path.lower().endswith(SUFFIXES)]
    return Images(url.rstrip("/"), paths)


def _csv_column(path: Path, column: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        _require_column(path, column, table.fieldnames or ())
        return [row[column] or "" for row in table]


def _parquet_column(path: Path, column: str) -> list[str]:
    parquet = require_package("pyarrow.parquet", "a Parquet manifest")
    _require_column(path, column, parquet.read_schema(path).names)
    return [value or "" for value in parquet.read_table(path, columns=[column])[column].to_pylist()]


def _require_column(path: Path, column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise InputError(
            f"{path} has no column {column!r}: its columns are {', '.join(columns)}; name the one that holds the paths "
            "with --column"
        )


def _require_protocol(protocol: str) -> None:
    fsspec = require_package("fsspec", f"{protocol}://")
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise InputError(f"{protocol}:// cannot be read: {error}") from error


def require_package(module: str, what: str) -> Any:
    """An optional module. Raises: InputError, with what is to be installed."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            f"{what} needs the package {package}: run pip install {package}, or pip install -r requirements-scale.txt"
        ) from error
