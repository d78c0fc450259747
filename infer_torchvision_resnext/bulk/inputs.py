"""INPUT → the images that it names: a folder, a list of paths or URLs, a manifest, or a video."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..resnext.images.files import SUFFIXES
from ..resnext.images.listing import HIDDEN, NO_IMAGE, Skipped, is_hidden, is_image_name, list_images
from ..resnext.machine.disk import sha256_of
from .lists import Embedded, InputError, Listing, read_csv, read_list, read_parquet, require_package

__all__ = ["VIDEOS", "Images", "InputError", "read_input", "require_package"]

TABLES = {".csv": read_csv, ".parquet": read_parquet}
VIDEOS = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm"),
    ".wmv",
)


@dataclass(frozen=True)
class Images:
    """What is to be classified, in order.

    Attributes:
        base: folder or URL that relative paths start from.
        paths: one for each row, as the rows name them; empty for a video.
        confined: whether links that lead out of `base` are refused.
        video: the file whose frames are the rows; empty for images.
        embedded: where the images are, if they lie in a manifest itself.
        notes: what was left out, a sentence each.
    """

    base: str
    paths: Sequence[str]
    confined: bool = False
    video: str = ""
    embedded: Embedded | None = None
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """SHA-256 of the list, or of what holds the images: changes with any path that is added, lost or moved."""
        if whole := self.video or (self.embedded and self.embedded.file):
            return sha256_of(Path(whole))
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(path.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()


def read_input(given: str, column: str = "path") -> Images:
    """Find out what INPUT is, and list it.

    Args:
        given: a folder or the URL of one, whose images are taken with those of its sub-folders; a .csv or .parquet
            manifest; a video; an image; any other file is a list with a path or URL a line. Paths in a list or manifest
            are relative to its folder.
        column: of a manifest, where the paths are, or in a .parquet file the images themselves.

    Raises:
        InputError: there is no such file, it holds no images, or a package is missing.
    """
    if not given.strip():
        raise InputError("INPUT is empty: give a folder, an image, a list, a manifest or a video")
    images = _read(given, column)
    if not images.paths and not images.video:
        raise InputError(_no_images(given, images))
    for protocol in sorted({path.partition("://")[0] for path in (images.base, *images.paths) if "://" in path}):
        _require_protocol(protocol)
    return images


def _no_images(given: str, images: Images) -> str:
    sentence = f"INPUT = {given!r} holds no images: expected files that end in {', '.join(SUFFIXES)}"
    return "\n".join([sentence, *images.notes])


def _read(given: str, column: str) -> Images:
    if "://" in given:
        return _of_bucket(given)
    path = Path(given).expanduser().absolute()
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise InputError(f"INPUT = {given!r}: there is no such file or folder (looked for {path})")
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        return Images(str(path.parent), (), video=str(path))
    if suffix in SUFFIXES:
        return Images(str(path.parent), (path.name,))
    listing: Listing = TABLES[suffix](path, column) if suffix in TABLES else read_list(path)
    return Images(str(path.parent), listing.paths, embedded=listing.embedded)


def _of_folder(folder: Path) -> Images:
    """Linked folders that lead out are not entered: a folder from elsewhere must not name the files of this machine."""
    skipped = Skipped()
    names = list_images(folder, skipped, links_out=False)
    return Images(str(folder), names, confined=True, notes=tuple(skipped.sentences()))


def _of_bucket(url: str) -> Images:
    _require_protocol(url.partition("://")[0])
    system, root = import_module("fsspec.core").url_to_fs(url)
    skipped, paths = Skipped(), []
    for found in sorted(system.find(root)):
        path = found.removeprefix(root).lstrip("/")
        if any(map(is_hidden, path.split("/"))):
            skipped.add(HIDDEN, path)
        elif is_image_name(path):
            paths.append(path)
        else:
            skipped.add(NO_IMAGE, path)
    return Images(url.rstrip("/"), paths, notes=tuple(skipped.sentences()))


def _require_protocol(protocol: str) -> None:
    fsspec = require_package("fsspec", f"{protocol}://")
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise InputError(f"{protocol}:// cannot be read: {error}") from error
