"""How a dataset lies on disk: parts, class folders and image files, found by name.

Either `train/` with `val/`, `valid/`, `validation/` or `test/`, each holding class folders; or class folders alone.
"""

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from .resnext.image_files import SUFFIXES
from .resnext.shown_text import shown

TRAIN = "train"
VALIDATION_NAMES = ("val", "valid", "validation", "test")
"""What the validation part may be called; the first of them that is there is taken."""

Classes = dict[str, list[Path]]
"""Image files by label; a class folder without images is there with none."""


class DatasetError(ValueError):
    """The folder cannot be trained on. `problems` holds a sentence for each thing that stands in the way."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass
class Folders:
    """What lies in a dataset's folder.

    Attributes:
        val: None where the folder has no validation part.
        notes: what was found and left out, a sentence each.
    """

    root: Path
    train: Classes
    val: Classes | None
    notes: list[str] = field(default_factory=list)


def find_folders(root: Path) -> Folders:
    """Look at what is there, without opening a file.

    Raises:
        DatasetError: no such folder, no class folder in it, or a validation part without a training part.
    """
    if not root.is_dir():
        raise DatasetError([f"the dataset {str(root)!r} is no folder (looked for {root.absolute()})"])
    notes: list[str] = []
    parts = {folder.name.casefold(): folder for folder in _folders_in(root, [])}
    held_out = [name for name in VALIDATION_NAMES if name in parts]
    if TRAIN not in parts:
        if held_out and len(parts) <= len(held_out) + 1:
            raise DatasetError([f"{root} has {held_out[0]}/, but no {TRAIN}/: training needs images of its own"])
        classes = _classes_in(root, notes)
        if not classes:
            raise DatasetError(
                [
                    f"{root} holds no class folders: expected {TRAIN}/<class>/<images> and "
                    f"{VALIDATION_NAMES[0]}/<class>/<images>, or <class>/<images>"
                ]
            )
        return Folders(root, classes, None, notes)
    _folders_in(root, notes)
    unused = [folder.name for name, folder in parts.items() if name not in (TRAIN, *held_out[:1])]
    if unused:
        notes.append(f"not used: {_listed([f'{name}/' for name in unused])}")
    val = _classes_in(parts[held_out[0]], notes) if held_out else None
    return Folders(root, _classes_in(parts[TRAIN], notes), val, notes)


def _classes_in(part: Path, notes: list[str]) -> Classes:
    classes: Classes = {}
    stray: list[str] = []
    for folder in _folders_in(part, notes):
        # A name typed on macOS and one typed elsewhere may spell an accent differently.
        images = classes.setdefault(unicodedata.normalize("NFC", folder.name), [])
        for path in _files_in(folder):
            if path.suffix.lower() in SUFFIXES:
                images.append(path)
            else:
                stray.append(str(path.relative_to(part)))
    if stray:
        notes.append(f"{part.name}/: {_files(len(stray))} with no image's ending left out: {_listed(stray)}")
    return classes


def _folders_in(folder: Path, notes: list[str]) -> list[Path]:
    """The visible folders within, sorted by name. Hidden ones and files are noted."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    hidden = [entry.name for entry in entries if entry.name.startswith(".")]
    files = [entry.name for entry in entries if not entry.is_dir() and not entry.name.startswith(".")]
    if hidden:
        notes.append(f"{folder.name}/: hidden, left out: {_listed(hidden)}")
    if files:
        notes.append(f"{folder.name}/: {_files(len(files))} in no class folder left out: {_listed(files)}")
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _files_in(folder: Path) -> list[Path]:
    """All visible files below, sorted by path."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(files) if not name.startswith(".")]
    return sorted(found)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _listed(names: list[str], most: int = 10) -> str:
    """Names in a row, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
