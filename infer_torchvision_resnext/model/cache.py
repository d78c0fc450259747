"""What was worked out once and need not be again: converted weights, models, decisions.

One folder, filled by any number of processes at once: everything is written beside its place and renamed, under a
name that its content determines, so that an entry is whole or absent and never changes. What was used least recently
goes when the folder grows beyond its bound. Nothing waits for the disk: entries are verified when they are opened, and
made again if a power cut damaged them.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from ..resnext.machine.disk import is_draft, remove_drafts, sha256_of, whole_file, whole_folder

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 2**30
"""Bound of the folder's size: about six of the largest models, in each of their forms."""

ABANDONED_S = 3600
"""A draft this old was left by a process that was killed."""

CONTENTS = ".contents.json"
"""In an entry: SHA-256 of each file that it was made of."""

SETTLED_NS = 2 * 10**9

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)

STAMPS_TELL = os.name == "posix"
"""Elsewhere `st_ctime` is when a file was made: files are read whole to tell whether they are the same."""

T = TypeVar("T")


class Cache:
    """A folder of entries: `<kind>/<key>/` for files, `<kind>/<key>.json` for facts.

    Args:
        folder: made with the first entry; None = a temporary folder that lives as long as the cache.
        max_bytes: bound of its size.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._checked = False
        self.notes: list[str] = []
        """What the user should know, a sentence each."""
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Where the entries lie; a temporary folder if the one that was given cannot be written."""
        if self._folder is not None and not self._checked:
            self._checked = True
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self._folder).close()
            except OSError as error:
                logger.warning("%s cannot be written, nothing will be kept for later: %s", self._folder, error)
                self._folder = None
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="resnext-", ignore_cleanup_errors=True)
            self._folder = Path(self._temporary.name)
        return self._folder

    def entry(self, kind: str, key: str, fill: Callable[[Path], None], derived: Iterable[tuple[str, str]] = ()) -> Path:
        """The folder of an entry; `fill` writes its files if there is none, and what it raises leaves none.

        One whose files are no longer what was written is made again. Where there is no room, it and all that follow
        lie in a temporary folder.

        Args:
            derived: kind and key of entries that were made from this one, and are forgotten with it.

        Raises:
            OSError: the cache cannot be written.
        """
        place = self.folder / kind / key
        if place.is_dir():
            if self._is_whole(place):
                with contextlib.suppress(OSError):
                    os.utime(place)
                return place
            logger.warning("%s in the cache is not what was written there, it is made again", kind)
            for damaged in ((kind, key), *derived):
                self.forget(*damaged)
        try:
            return self._filled(place, fill)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._give_up(error)
        return self._filled(self.folder / kind / key, fill)

    def _filled(self, place: Path, fill: Callable[[Path], None]) -> Path:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be quicker, with the same content.
        with whole_folder(place, replace=False, durable=False) as draft:
            fill(draft)
            contents = {
                file.relative_to(draft).as_posix(): sha256_of(file) for file in draft.rglob("*") if file.is_file()
            }
            (draft / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
        self._prune(place)
        return place

    def _is_whole(self, place: Path) -> bool:
        """Whether an entry's files are what they were made: a bit that turned over would turn over answers."""
        try:
            contents = json.loads((place / CONTENTS).read_text(encoding="utf-8"))
            return all(self.digest(place / name) == digest for name, digest in contents.items())
        except (OSError, ValueError, AttributeError):
            return False

    def _give_up(self, error: OSError) -> None:
        """Go on in a temporary folder."""
        note = (
            f"{self._folder} has no room ({os.strerror(error.errno or 0)}): nothing is kept for later; make room there"
        )
        logger.warning(note)
        self.notes.append(note)
        self._folder = None

    def opened(
        self,
        kind: str,
        key: str,
        fill: Callable[[Path], None],
        open_entry: Callable[[Path], T],
        derived: Iterable[tuple[str, str]] = (),
    ) -> T:
        """What `open_entry` makes of an entry's folder.

        One that cannot be opened because another process removed or damaged it since is filled again, once.

        Args:
            derived: kind and key of entries that were made from this one, and are forgotten with it.

        Raises:
            RuntimeError: what `fill` raised, or `open_entry` of an entry that is whole.
            OSError: the cache cannot be written.
        """
        place = self.entry(kind, key, fill, derived)
        try:
            return open_entry(place)
        except RuntimeError as error:
            if self._is_whole(place):
                raise
            logger.warning("%s in the cache cannot be used: %s", kind, error)
        return open_entry(self.entry(kind, key, fill, derived))

    def forget(self, kind: str, key: str) -> None:
        """Remove an entry that turned out to be damaged."""
        shutil.rmtree(self.folder / kind / key, ignore_errors=True)
        (self.folder / kind / f"{key}.json").unlink(missing_ok=True)

    def recall(self, kind: str, key: str) -> Any:
        """A fact that was noted; None if there is none, or its file is damaged."""
        try:
            return json.loads((self.folder / kind / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def note(self, kind: str, key: str, fact: Any) -> None:
        """Remember a JSON-ready fact; a cache that cannot be written is logged and costs only time."""
        place = self.folder / kind / f"{key}.json"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(place, durable=False) as draft:
                draft.write_text(json.dumps(fact, indent=2), encoding="utf-8")
        except OSError as error:
            logger.warning("%s cannot be written, and will be worked out again: %s", place, error)

    def digest(self, file: Path) -> str:
        """SHA-256 of a file's content; remembered for as long as the system says that the file is the same."""
        stamp = stamp_of(file)
        key = key_of(str(file.absolute()), *stamp)
        known = self.recall("digests", key) if STAMPS_TELL else None
        if isinstance(known, str):
            return known
        found = sha256_of(file)
        # The system's clock ticks slowly: a change right after this one might bear the same time.
        if stamp == stamp_of(file) and time.time_ns() - max(stamp[1:3]) > SETTLED_NS:
            self.note("digests", key, found)
        return found

    def _prune(self, keep: Path) -> None:
        """Remove the least recently used entries until the bound holds, and drafts that a dead process left."""
        for kind in self.folder.iterdir():
            remove_drafts(kind, older_than_s=ABANDONED_S)
        entries = []
        for place in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in ([place] if place.is_file() else place.rglob("*")))
                entries.append((place.stat().st_mtime, size, place))
        total = sum(size for _, size, _ in entries)
        for _, size, place in sorted(entries):
            if total <= self._max_bytes:
                return
            if place == keep or is_draft(place):
                continue
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)
            total -= size


def key_of(*facts: object) -> str:
    """A short name that any change of the facts changes."""
    return hashlib.sha256(json.dumps([str(fact) for fact in facts]).encode()).hexdigest()[:32]


def stamp_of(file: Path) -> tuple[int, ...]:
    """Size, times and place of a file's content; without reading it, the best there is to tell another content by.

    The time of the last change can be set by anyone, as copying does. On POSIX systems `st_ctime` is the time at which
    the system itself saw the file change last. Raises: OSError.
    """
    status = file.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
