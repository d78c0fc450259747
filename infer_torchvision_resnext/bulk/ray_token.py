"""The token that a Ray cluster asks of everyone who connects, kept from other users of this machine.

Ray itself creates it readable for all, and runs the code of whoever knows it.
"""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_file() -> Path:
    """Where Ray looks for it."""
    place = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    return Path(place) if place else Path.home() / ".ray" / "auth_token"


def protect_token(create: bool, say: Callable[[str], None]) -> None:
    """Make the token readable for its owner only, before Ray starts; a token in `RAY_AUTH_TOKEN` needs no file.

    Args:
        create: whether to make one where there is none.
        say: called if others could read the token so far.

    Raises:
        OSError: the file cannot be written.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    file = token_file()
    if create and not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another job was faster
            _create(file)
    if not file.is_file():
        return
    own_folder = file.parent if file.parent.name == ".ray" else None
    opened = [place for place in (own_folder, file) if place and _mode(place) & OTHERS]
    for place in opened:
        place.chmod(_mode(place) & ~OTHERS)
    if file in opened:
        say(
            f"{file} could be read by other users of this machine and is now closed to them: if there are any, "
            "remove it where no cluster uses it, so that a new one is made"
        )


def _create(file: Path) -> None:
    """Write a new token that nobody else can read at any moment. Raises: FileExistsError."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as text:
        text.write(secrets.token_hex(32))


def _mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)
