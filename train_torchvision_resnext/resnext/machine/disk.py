"""Files and folders that are whole or absent: written beside their place, synchronized with the disk, then renamed.

After a power cut, too, a file or folder under its own name is the old one or the new one, and once the `with` block has
ended it is the new one. A process that is killed leaves a draft, whose name begins with `DRAFT`.
"""

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .durability import sync, sync_tree

DRAFT = ".draft-"


class DiscardDraft(Exception):  # noqa: N818  (a request, as StopIteration is, and no error)
    """Raised by the body of `whole_file` or `whole_folder`: remove the draft, leave the old content, and go on."""


@contextmanager
def whole_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` at the end, whole or not at all.

    The draft lies in the same folder, which must exist, and has the same suffix. If the body raises, what stood at
    `path` still stands; `DiscardDraft` goes no further than this.

    Args:
        durable: False = a power cut may leave an empty or partial file, for what is verified whenever it is read and
            can be made again; saves the time of waiting for the disk.

    Raises:
        FileNotFoundError: the body wrote nothing, or the draft was removed.
        OSError: the disk refuses; it names the file.
    """
    draft = _draft_of(path)
    try:
        with errors_of_the_disk(path):
            yield draft
            _require(draft.is_file(), path)
            if durable:
                sync(draft)
            draft.replace(path)
            if durable:
                sync(path.parent)
    except DiscardDraft:
        pass
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, replace: bool = True, durable: bool = True) -> Iterator[Path]:
    """An empty folder that takes the place of `path` at the end, with what the body wrote into it.

    If the body raises, what stood at `path` still stands; `DiscardDraft` goes no further than this.

    Args:
        path: its parent must exist.
        replace: False = a folder that another process put there meanwhile stays.
        durable: as of `whole_file`.

    Raises:
        FileNotFoundError: the draft was removed.
        OSError: the disk refuses; it names the file or folder.
    """
    draft = _draft_of(path)
    try:
        with errors_of_the_disk(path):
            draft.mkdir()
            yield draft
            _require(draft.is_dir(), path)
            if durable:
                sync_tree(draft)
            aside = _rename(draft, path, replace)
            if durable:
                sync(path.parent)
            if aside:
                shutil.rmtree(aside, ignore_errors=True)
    except DiscardDraft:
        pass
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_draft(path: Path) -> bool:
    """Whether a file or folder is one that is being written, or was when its process was killed."""
    return path.name.startswith(DRAFT)


def remove_drafts(folder: Path, older_than_s: float = 0) -> None:
    """Remove the drafts in a folder that were last written so many seconds ago; 0 = all, which no one may be writing.

    What cannot be removed stays.
    """
    for draft in filter(is_draft, folder.iterdir()):
        with suppress(OSError):
            if time.time() - draft.lstat().st_mtime < older_than_s:
                continue
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft)
            else:
                draft.unlink()


@contextmanager
def errors_of_the_disk(path: Path) -> Iterator[None]:
    """Around a writer of tensors: what the disk refuses is an OSError that names the file, as everywhere else.

    safetensors, torch and OpenVINO raise errors of their own; safetensors gives the system's number in the text, the
    others nothing.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except Exception as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            # The last one counts on Windows, whose numbers are others.
            raise OSError(int(number[1]), str(error), str(path), int(number[1])) from error
        if not any(writer in str(error) for writer in ("PytorchStreamWriter", "inline_container", "iostream")):
            raise
        full = shutil.disk_usage(path.parent).free < 2**20
        what = errno.ENOSPC if full else errno.EIO
        raise OSError(what, f"{os.strerror(what)} ({error})", str(path)) from error


def sha256_of(path: Path) -> str:
    """Of a file's content, in hexadecimal digits: whether it still is what was written. Raises: OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _draft_of(path: Path) -> Path:
    return path.with_name(f"{DRAFT}{uuid.uuid4().hex[:12]}-{path.name}")


def _require(exists: bool, path: Path) -> None:
    """Raises: FileNotFoundError."""
    if not exists:
        raise FileNotFoundError(errno.ENOENT, "its draft vanished before it could take its place", str(path))


def _rename(draft: Path, folder: Path, replace: bool) -> Path | None:
    """Put `draft` in the place of `folder`. No system renames over a filled folder, so the old one steps aside.

    Returns: where the old one is now; None if there was none.
    """
    if not replace:
        try:
            draft.replace(folder)
        except OSError:
            if not folder.is_dir():
                raise
        return None
    if not folder.exists():
        draft.replace(folder)
        return None
    aside = _draft_of(folder)
    folder.replace(aside)
    try:
        draft.replace(folder)
    except OSError:
        aside.replace(folder)
        raise
    return aside
