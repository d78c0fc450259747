"""How a dataset lies on disk: parts, class folders and image files, found by name.

Either `train/`, with or without `val/` (or `valid/`, `validation/`) and `test/`, each holding class folders; or class
folders alone.
"""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..resnext.host.shown_text import shown
from ..resnext.images.files import SUFFIXES

TRAIN = "train"
TEST = "test"
VALIDATION_NAMES = ("val", "valid", "validation")
"""What the validation part may be called; there must be no two of them."""

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
        val, test: None where the folder has no such part.
        notes: what was found and left out, a sentence each.
    """

    root: Path
    train: Classes
    val: Classes | None
    test: Classes | None = None
    notes: list[str] = field(default_factory=list)


def find_folders(root: Path) -> Folders:
    """Look at what is there, without opening a file.

    Raises:
        DatasetError: no such folder, no class folder in it, a part that is there twice, a validation or test part
            without a training part, or a folder around the one that was meant.
    """
    if not root.is_dir():
        raise DatasetError([f"the dataset {str(root)!r} is not a folder (looked for {root.absolute()})"])
    notes: list[str] = []
    parts = _parts_of(root)
    held_out = [name for name in VALIDATION_NAMES if name in parts]
    if TRAIN not in parts:
        apart = [name for name in (*held_out, TEST) if name in parts]
        if apart and len(parts) <= len(apart) + 1:
            raise DatasetError([f"{root} has {apart[0]}/, but no {TRAIN}/: training needs images of its own"])
        _refuse_one_folder_too_many(root)
        classes = _classes_in(root, notes)
        if not classes:
            raise DatasetError(
                [
                    f"{root} holds no class folders: expected {TRAIN}/<class>/<images> and "
                    f"{VALIDATION_NAMES[0]}/<class>/<images>, or <class>/<images>"
                ]
            )
        return Folders(root, classes, None, None, notes)
    _folders_in(root, notes)
    unused = [folder.name for name, folder in parts.items() if name not in (TRAIN, *held_out, TEST)]
    if unused:
        notes.append(f"not used: {listed([f'{name}/' for name in unused])}")
    val = _classes_in(parts[held_out[0]], notes) if held_out else None
    test = _classes_in(parts[TEST], notes) if TEST in parts else None
    return Folders(root, _classes_in(parts[TRAIN], notes), val, test, notes)


def _parts_of(root: Path) -> dict[str, Path]:
    """The visible folders by name in lower case. Raises: DatasetError where two of them mean the same part."""
    parts: dict[str, Path] = {}
    meanings: dict[str, Path] = {}
    for folder in _folders_in(root, []):
        name = folder.name.casefold()
        part = VALIDATION_NAMES[0] if name in VALIDATION_NAMES else name
        if part in (TRAIN, VALIDATION_NAMES[0], TEST) and part in meanings:
            raise DatasetError(
                [f"{root} has both {meanings[part].name}/ and {folder.name}/, which mean the same: join or rename them"]
            )
        parts[name] = meanings[part] = folder
    return parts


def _refuse_one_folder_too_many(root: Path) -> None:
    """Unzipped datasets often lie one folder deeper. Raises: DatasetError, naming the one that is meant."""
    outer = _folders_in(root, [])
    if len(outer) != 1 or any(path.suffix.lower() in SUFFIXES for path in outer[0].iterdir()):
        return
    inner = _folders_in(outer[0], [])
    if (
        TRAIN in {folder.name.casefold() for folder in inner}
        or len([folder for folder in inner if _has_images(folder)]) > 1
    ):
        raise DatasetError(
            [f"{root} holds nothing but {outer[0].name}/, which holds the classes: give {outer[0]} as the dataset"]
        )


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in _files_in(folder))


def _classes_in(part: Path, notes: list[str]) -> Classes:
    classes: Classes = {}
    stray: list[str] = []
    merged: list[str] = []
    for folder in _folders_in(part, notes):
        # A name typed on macOS and one typed elsewhere may spell an accent differently.
        images = classes.setdefault(unicodedata.normalize("NFC", folder.name), [])
        for path in _files_in(folder):
            if path.suffix.lower() in SUFFIXES:
                images.append(path)
            else:
                stray.append(str(path.relative_to(part)))
        below = {path.parent.relative_to(part).as_posix() for path in images if path.parent != folder}
        merged += [f"{name}/" for name in sorted(below)]
    if stray:
        notes.append(f"{part.name}/: {counted(len(stray), 'file')} with no image's ending left out: {listed(stray)}")
    if merged:
        notes.append(f"{part.name}/: images in folders below a class count as that class: {listed(merged)}")
    return classes


def _folders_in(folder: Path, notes: list[str]) -> list[Path]:
    """The visible folders within, sorted by name. Hidden ones and files are noted."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    hidden = [entry.name for entry in entries if entry.name.startswith(".")]
    files = [entry.name for entry in entries if not entry.is_dir() and not entry.name.startswith(".")]
    if hidden:
        notes.append(f"{folder.name}/: hidden, left out: {listed(hidden)}")
    if files:
        notes.append(f"{folder.name}/: {counted(len(files), 'file')} in no class folder left out: {listed(files)}")
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _files_in(folder: Path) -> list[Path]:
    """All visible files below, sorted by path."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(files) if not name.startswith(".")]
    return sorted(found)


def counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a row, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
