"""The images of a folder: one definition for training, for the command for many images and for quantizing.

Images are known by the endings of their names. What is hidden, or what systems put beside images, is left out; whatever
is left out can be reported, with counts.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..machine.printable import shown
from .files import SUFFIXES

SYSTEM_NAMES = {
    *("$recycle.bin", "#recycle", "#snapshot", "@eadir", "@recycle", "@recently-snapshot", "@tmp"),
    *("__macosx", "lost+found", "system volume information"),
    *("desktop.ini", "thumbs.db"),
}
"""Names, in lower case, of what Windows, macOS and network storage keep beside images: thumbnails and deleted files."""

HIDDEN = "hidden or of the system"
LINKED_OUT = "linked folder that leads out of the folder"
LISTED = "linked folder that is listed elsewhere"
NO_IMAGE = "not an image by its name"
UNREADABLE = "folder that cannot be read"

_EXAMPLES = 5


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out: it begins with a dot, or is the system's own."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


@dataclass
class Skipped:
    """What was left out of a folder.

    Attributes:
        counts: by reason.
        examples: by reason, the first names; folders have a slash at their end.
        endings: of files that are no images, in lower case; empty for names without one.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(name)
        if reason == NO_IMAGE:
            self.endings[PurePosixPath(name).suffix.lower()] += 1

    def sentences(self) -> list[str]:
        """One for each reason: how many, and the first names; of files that are no images also their endings."""
        return [self._sentence(reason) for reason in sorted(self.counts)]

    def _sentence(self, reason: str) -> str:
        examples, count = self.examples[reason], self.counts[reason]
        more = f" and {count - len(examples)} more" if count > len(examples) else ""
        endings = ""
        if reason == NO_IMAGE:
            kinds = (f"{shown(ending) or 'no ending'} {kind}" for ending, kind in self.endings.most_common(_EXAMPLES))
            endings = f" ({', '.join(kinds)})"
        return f"skipped {count}, {reason}{endings}: {', '.join(map(shown, examples))}{more}"


def list_images(folder: Path, skipped: Skipped, *, links_out: bool, under: str = "") -> list[str]:
    """The image files below a folder, by their paths relative to it, with slashes and sorted by their parts.

    Linked folders are followed, and each place is listed once. No file is opened, and links to files are not resolved.

    Args:
        skipped: is added to.
        links_out: whether linked folders may lead out of the folder.
        under: what the names in `skipped` begin with.
    """
    real = os.path.realpath(folder)
    return list(_Walk(real, skipped, links_out, under).names(folder, real, ""))


class _Walk:
    """Through one folder; `root` is its real path."""

    def __init__(self, root: str, skipped: Skipped, links_out: bool, under: str) -> None:
        self._root, self._skipped, self._links_out, self._under = root, skipped, links_out, under
        self._seen: set[str] = set()

    def _skip(self, reason: str, name: str) -> None:
        self._skipped.add(reason, self._under + name)

    def names(self, place: Path, real: str, prefix: str) -> Iterator[str]:
        """Of the images below a place, of which `prefix` is the relative path and `real` the path without links."""
        self._seen.add(real)
        try:
            with os.scandir(place) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            self._skip(UNREADABLE, prefix or "./")
            return
        for entry in entries:
            is_folder = _is_folder(entry)
            name = f"{prefix}{entry.name}{'/' * is_folder}"
            if is_hidden(entry.name):
                self._skip(HIDDEN, name)
            elif is_folder:
                below = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)  # noqa: PTH118 (many)
                if reason := self._reason_against(below, entry.is_symlink()):
                    self._skip(reason, name)
                else:
                    yield from self.names(place / entry.name, below, name)
            elif is_image_name(entry.name):
                yield name
            else:
                self._skip(NO_IMAGE, name)

    def _reason_against(self, real: str, is_link: bool) -> str:
        """Why a folder is not entered; empty if it is. What lies in the root itself is listed there, not by a link."""
        if real in self._seen or (is_link and (_contains(self._root, real) or _contains(real, self._root))):
            return LISTED
        return LINKED_OUT if is_link and not self._links_out else ""


def _contains(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself: reading it says so.
        return False
