"""Every image file is read and decoded once before training: in parallel, and only if its content is new.

What is found is kept by content, so that a second run over the same images only reads them.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel
from tqdm import tqdm

from ..resnext.images.files import content_of, decode
from ..resnext.images.rgb import AUTO, ImageError, MissingPackageError, ValueRange, dim_note, to_rgb
from ..resnext.images.tiff import pages_note
from ..resnext.images.truncation import cut_short
from ..resnext.machine.disk import whole_file
from ..resnext.machine.threads import core_count
from .samples import hash_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What is known of one file.

    Attributes:
        content_hash: of the bytes; files with the same one are exact duplicates. Empty if the file was not readable.
        width, height: in pixels, upright; 0 for a broken one.
        problem: why it cannot be used; empty if it can.
        dimness: what to say of it if it leaves four fifths of its range of values unused; else empty.
        pages: what to say of it if it holds several pages or frames; else empty.
    """

    content_hash: str
    width: int = 0
    height: int = 0
    problem: str = ""
    dimness: str = ""
    pages: str = ""


class Kept(BaseModel, strict=True):
    """What a cache's file holds."""

    version: Literal[3] = 3
    value_range: str
    findings: list[Finding]


class Cache:
    """Findings by content, in a JSON file. A missing or damaged file is an empty cache.

    Args:
        value_range: by which images are read; findings by another one are forgotten.

    Attributes:
        findings: by the hash of the content.
    """

    def __init__(self, path: Path, value_range: ValueRange = AUTO) -> None:
        self._path = path
        self.value_range = value_range
        self.findings: dict[str, Finding] = {}
        try:
            kept = Kept.model_validate_json(path.read_bytes())
            if kept.value_range == str(value_range):
                self.findings = {finding.content_hash: finding for finding in kept.findings}
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            logger.warning(
                "%s is not a cache of images, all are decoded again: %s", path, str(error).partition("\n")[0]
            )
        self._kept = len(self.findings)

    def save(self) -> None:
        """Write what was added. The cache is a convenience: where it cannot be written, a warning says so."""
        if len(self.findings) == self._kept:
            return
        kept = Kept(value_range=str(self.value_range), findings=list(self.findings.values()))
        try:
            with whole_file(self._path, durable=False) as draft:
                draft.write_text(kept.model_dump_json(), encoding="utf-8")
        except OSError as error:
            logger.warning("what was found about the images could not be kept for the next run: %s", error)


def audit(paths: Sequence[Path], cache: Cache, on_file: Callable[[], None] = lambda: None) -> dict[Path, Finding]:
    """Decode every file whose content the cache does not know.

    Args:
        paths: image files.
        cache: is read and added to, not saved.
        on_file: called after each file, in the calling thread; what it raises ends the audit.
    """
    findings = {}
    with ThreadPoolExecutor(core_count()) as pool:
        results = _in_chunks(pool, paths, cache)
        for path, finding in tqdm(results, total=len(paths), desc="Checking images", unit="img", disable=not paths):
            findings[path] = finding
            if finding.content_hash:
                cache.findings.setdefault(finding.content_hash, finding)
            on_file()
    return findings


def _in_chunks(pool: ThreadPoolExecutor, paths: Sequence[Path], cache: Cache) -> Iterator[tuple[Path, Finding]]:
    """In order; only a chunk is ever under way, so that an interrupted audit ends soon."""
    for first in range(0, len(paths), 256):
        chunk = paths[first : first + 256]
        yield from zip(chunk, pool.map(lambda path: examine(path, cache), chunk), strict=True)


def examine(path: Path, cache: Cache) -> Finding:
    """Read one file, and decode it if its content is new."""
    try:
        content = content_of(path)
    except ImageError as error:
        return Finding("", problem=str(error))
    except OSError as error:
        return Finding("", problem=f"cannot be read: {error.strerror or error}")
    content_hash = hash_of(content)
    if known := cache.findings.get(content_hash):
        return known
    try:
        return _decoded(content, content_hash, cache.value_range)
    except MissingPackageError as error:
        # Without the hash it is not kept: once the package is installed, the file is decoded.
        return Finding("", problem=str(error))
    except ImageError as error:
        return Finding(content_hash, problem=str(error))


def _decoded(content: bytes, content_hash: str, value_range: ValueRange) -> Finding:
    """What a file that can be used holds. Raises: ImageError."""
    if cut_short(content):
        raise ImageError("the file is cut short")
    pixels = decode(content)
    height, width = to_rgb(pixels, value_range).shape[:2]
    return Finding(content_hash, width, height, dimness=dim_note(pixels, value_range), pages=pages_note(content))
