"""Files that are created once: the first process that finishes one wins, and no reader ever sees a part of it."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..resnext.machine.disk import DRAFT
from ..resnext.machine.durability import sync

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK)
"""What a file system answers that has no hard links, such as exFAT."""


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Where to write a file that appears as `path` at the end, complete and on the disk.

    Raises:
        FileExistsError: something is there already; it stays.
        OSError: the disk refuses.
    """
    draft = path.with_name(f"{DRAFT}{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield draft
        sync(draft)
        _link(draft, path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    """Name a file, unless the name is taken: a hard link is the one way that is exclusive and complete, also on NFS."""
    try:
        os.link(draft, path)
    except FileExistsError:
        # Over NFS the answer may get lost and the request be repeated: then it was this process that made the link.
        if not draft.samefile(path):
            raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        draft.replace(path)
