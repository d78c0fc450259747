"""How a dataset lies on disk: parts, class folders and image files, found by name.

Either `train/`, with or without `val/` (or `valid/`, `validation/`) and `test/`, each holding class folders; or class
folders alone. Other names of parts are in `parts.py`.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..resnext.images.listing import Skipped, is_hidden, list_images
from ..resnext.machine.printable import shown
from .parts import (
    TEST,
    TRAIN,
    VALIDATION,
    class_folders_of,
    find_parts,
    holds_images,
    meant_instead,
    unnamed_parts_problem,
    visible_folders,
)

Classes = dict[str, list[Path]]
"""Image files by label; a class folder without images is there with none."""


class DatasetError(ValueError):
    """The folder cannot be trained on.

    Attributes:
        problems: a sentence for each thing that stands in the way.
        notes: what else was seen of the folder, such as files that were left out.
    """

    def __init__(self, problems: Sequence[str], notes: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        super().__init__("\n".join([*problems, *(f"note: {note}" for note in notes)]))


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
    _note_others(root, notes)
    if TRAIN not in parts:
        _refuse_without_training(root, parts, notes)
        return Folders(root, _classes_in(root, notes), None, None, notes)
    unused = [f"{folder.name}/" for folder in visible_folders(root) if folder not in parts.values()]
    if unused:
        notes.append(f"not used: {listed(unused)}")
    _refuse_without_classes(parts[TRAIN], notes)
    classes = {part: _classes_of_part(folder, notes) for part, folder in parts.items()}
    return Folders(root, classes[TRAIN], classes.get(VALIDATION), classes.get(TEST), notes)


def _parts_of(root: Path) -> dict[str, Path]:
    """The parts by their names. Raises: DatasetError where two folders mean the same part."""
    parts = find_parts(root)
    for folders in parts.values():
        if len(folders) > 1:
            first, second = (folder.name for folder in folders[:2])
            raise DatasetError([f"{root} has both {first}/ and {second}/, which mean the same: join or rename them"])
    return {part: folder for part, (folder,) in parts.items()}


def _refuse_without_training(root: Path, parts: dict[str, Path], notes: Sequence[str]) -> None:
    """Raises: DatasetError where the folders within are no classes."""
    folders = visible_folders(root)
    if parts and len(folders) <= len(parts) + 1:
        name = next(folder.name for part, folder in parts.items() if part != TRAIN)
        raise DatasetError([f"{root} has {name}/, but no {TRAIN}/: training needs images of its own"], notes)
    if meant := meant_instead(root):
        outer = folders[0].name
        raise DatasetError([f"{root} holds nothing but {outer}/, which holds the classes: give {meant} as the dataset"])
    if problem := unnamed_parts_problem(root):
        raise DatasetError([problem], notes)
    if not folders:
        raise DatasetError(
            [
                f"{root} holds no class folders: expected {TRAIN}/<class>/<images> and "
                f"{VALIDATION}/<class>/<images>, or <class>/<images>"
            ],
            notes,
        )


def _refuse_without_classes(part: Path, notes: Sequence[str]) -> None:
    if holds_images(part) and not visible_folders(part):
        problem = f"{part} holds images but no class folders: move each image to {part.name}/<class>/"
        raise DatasetError([problem], notes)


def _classes_of_part(part: Path, notes: list[str]) -> Classes:
    """Raises: DatasetError where what it holds looks like parts again."""
    place = class_folders_of(part)
    if place != part:
        notes.append(f"{part.name}/: its classes are those of {part.name}/{place.name}/")
    _note_others(place, notes)
    if problem := unnamed_parts_problem(place):
        raise DatasetError([problem], notes)
    return _classes_in(place, notes)


def _classes_in(part: Path, notes: list[str]) -> Classes:
    classes: Classes = {}
    skipped = Skipped()
    merged: set[str] = set()
    for folder in visible_folders(part):
        # A name typed on macOS and one typed elsewhere may spell an accent differently.
        images = classes.setdefault(unicodedata.normalize("NFC", folder.name), [])
        for name in list_images(folder, skipped, links_out=True, under=f"{folder.name}/"):
            images.append(folder / name)
            if "/" in name:
                merged.add(f"{folder.name}/{name.rpartition('/')[0]}/")
    notes += [f"{part.name}/: {sentence}" for sentence in skipped.sentences()]
    if merged:
        notes.append(f"{part.name}/: images in folders below a class count as that class: {listed(sorted(merged))}")
    return classes


def _note_others(folder: Path, notes: list[str]) -> None:
    """Note what lies beside the folders within: hidden entries and files."""
    entries = sorted(folder.iterdir())
    hidden = [entry.name for entry in entries if is_hidden(entry.name)]
    files = [entry.name for entry in entries if not is_hidden(entry.name) and not entry.is_dir()]
    if hidden:
        notes.append(f"{folder.name}/: hidden or of the system, left out: {listed(hidden)}")
    if files:
        notes.append(f"{folder.name}/: {counted(len(files), 'file')} in no class folder left out: {listed(files)}")


def counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a row, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
