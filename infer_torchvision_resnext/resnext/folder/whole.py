"""Files and folders that are whole or absent: written beside their place, then renamed.

A process that is killed leaves a draft, whose name begins with `DRAFT`.
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

DRAFT = ".draft-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` at the end, whole or not at all.

    The draft lies in the same folder, which must exist, and has the same suffix. If the body raises, or removes the
    draft, what stood at `path` still stands.

    Raises:
        OSError: the disk refuses; it names the file.
    """
    draft = _draft_of(path)
    try:
        with errors_of_the_disk(path):
            yield draft
            if draft.exists():
                draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, replace: bool = True) -> Iterator[Path]:
    """An empty folder that takes the place of `path` at the end, with what the body wrote into it.

    Args:
        path: its parent must exist. If the body raises, or removes the draft, what stood here still stands.
        replace: False = a folder that another process put there meanwhile stays.

    Raises:
        OSError: the disk refuses; it names the file or folder.
    """
    draft = _draft_of(path)
    try:
        with errors_of_the_disk(path):
            draft.mkdir()
            yield draft
            if draft.is_dir():
                _rename(draft, path, replace)
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


def _rename(draft: Path, folder: Path, replace: bool) -> None:
    """Put `draft` in the place of `folder`. No system renames over a filled folder, so the old one steps aside."""
    if not replace:
        try:
            draft.replace(folder)
        except OSError:
            if not folder.is_dir():
                raise
        return
    if not folder.exists():
        draft.replace(folder)
        return
    aside = _draft_of(folder)
    folder.replace(aside)
    try:
        draft.replace(folder)
    except OSError:
        aside.replace(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
