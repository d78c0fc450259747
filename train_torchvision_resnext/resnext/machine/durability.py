"""What is written survives a power cut: files and folders are synchronized with the disk.

A rename alone does not do that. File systems write names before contents, so that after a power cut a file that was
renamed into its place may be there and empty.
"""

import errno
import os
import sys
from pathlib import Path

UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP)
"""What a file system answers that cannot synchronize, such as some network shares: it offers nothing better."""


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Windows synchronizes no folders: there NTFS keeps its names in order by its journal.

    Raises:
        OSError: the disk refuses, and what was written may be lost.
    """
    windows = sys.platform == "win32"
    if windows and path.is_dir():
        return
    # Windows synchronizes only what is open for writing.
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and everything in it are on the disk; links are not followed. Raises: OSError."""
    for entry in folder.iterdir():
        if entry.is_symlink():
            continue
        if entry.is_dir():
            sync_tree(entry)
        elif entry.is_file():
            sync(entry)
    sync(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing, so that they survive a power cut. Raises: OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync(place.parent)
