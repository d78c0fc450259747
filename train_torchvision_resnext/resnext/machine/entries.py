"""Whether a file is there, told apart from what only has its name: a pipe would be waited for, a device never ends."""

import stat
from pathlib import Path

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def has_file(path: Path, error: type[Exception]) -> bool:
    """Whether there is a regular file, or a link to one, as caches of downloads have them.

    Args:
        error: raised where something else bears the name; the message says what.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        mode = path.stat().st_mode
    except OSError as cause:
        raise error(f"{path} is a link that leads nowhere ({cause.strerror}): put the file in its place") from cause
    if stat.S_ISREG(mode):
        return True
    kind = next((name for is_kind, name in KINDS if is_kind(mode)), "no file")
    raise error(f"{path} is {kind}, expected a file: put the file in its place, or remove it")
