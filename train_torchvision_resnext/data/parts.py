"""Which folders of a dataset are its parts, by their names and by what they hold."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ..resnext.images.listing import is_hidden, is_image_name
from ..resnext.machine.printable import shown

TRAIN, VALIDATION, TEST = "train", "val", "test"

NAMES = {TRAIN: ("train",), VALIDATION: ("val", "valid", "validation"), TEST: ("test",)}
"""A folder of such a name is a part, whatever it holds."""

_BEGINNINGS = {TRAIN: ("train",), VALIDATION: ("val", "dev"), TEST: ("test",)}
"""A folder whose name begins so is a part if it holds class folders and no images itself: Training, test_set, dev."""

_ALIKE = 0.5
"""Folders are parts of one dataset if they share this fraction of their sub-folders' names."""

_LEVELS = 3
"""How deep below the chosen folder the one that is meant is looked for."""

_LOOKED_AT = 10_000
"""Entries among which a folder's first image is looked for."""


def visible_folders(folder: Path) -> list[Path]:
    """Folders within, sorted by name, without hidden ones and those of the system."""
    return sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name) and entry.is_dir())


def holds_images(folder: Path) -> bool:
    """Whether images lie in the folder itself."""
    return any(is_image_name(entry.name) and not is_hidden(entry.name) for entry in folder.iterdir())


def has_images_below(folder: Path) -> bool:
    """Whether there are images in the folder or below it."""
    return any(is_image_name(path.name) for path in islice(folder.rglob("*"), _LOOKED_AT))


def class_folders_of(part: Path) -> Path:
    """Where a part's class folders lie: in it, or in the one folder that it holds, as in test_set/test_set/."""
    folders = visible_folders(part)
    if len(folders) != 1 or holds_images(part) or holds_images(folders[0]):
        return part
    return folders[0] if _class_names(folders[0]) else part


def find_parts(root: Path) -> dict[str, list[Path]]:
    """The folders that are the training, validation and test part by their names; all, where there are several."""
    parts: dict[str, list[Path]] = {}
    for folder in visible_folders(root):
        if role := _role_of(folder):
            parts.setdefault(role, []).append(folder)
    return parts


def meant_instead(root: Path) -> Path | None:
    """The folder that was probably meant, with parts or classes, where the root holds nothing but one folder."""
    place = root
    for _ in range(_LEVELS):
        outer = visible_folders(place)
        if len(outer) != 1 or holds_images(outer[0]):
            return None
        (place,) = outer
        if TRAIN in find_parts(place) or len(_class_names(place)) > 1:
            return place
    return None


def unnamed_parts_problem(root: Path) -> str:
    """What to say of folders that would count as classes and look like parts of a dataset; empty if none do."""
    contents = {}
    for folder in visible_folders(root):
        place = class_folders_of(folder)
        if not holds_images(place) and len(names := _class_names(place)) > 1:
            contents[folder] = names
    for names in contents.values():
        group = [folder for folder, others in contents.items() if _alike(names, others)]
        if len(group) > 1:
            return _described(root, group, names)
    return ""


def _described(root: Path, group: Sequence[Path], names: set[str]) -> str:
    folders = " and ".join(f"{shown(folder.name)}/" for folder in group[:2])
    more = f" and {len(group) - 2} more" if len(group) > 2 else ""
    roles = find_parts(group[0])
    if TRAIN in roles and holds_images(roles[TRAIN][0]):
        return (
            f"{root} holds {folders}{more}, each with parts of its own: put the parts outermost, as "
            f"{TRAIN}/<class>/<images> and {VALIDATION}/<class>/<images>"
        )
    if TRAIN in roles:
        return f"{root} holds several datasets, {folders}{more}: give one of them as the dataset, such as {group[0]}"
    shared = ", ".join(sorted(map(shown, names))[:3])
    return (
        f"{root} holds {folders}{more}, which hold the same folders ({shared}): they look like parts of a dataset, not "
        f"like classes. Rename the part to train on to {TRAIN}, others to {VALIDATION} or {TEST}; or give one of them "
        f"as the dataset, such as {group[0]}. If they are classes, move the images of each into one folder"
    )


def _role_of(folder: Path) -> str:
    name = folder.name.casefold()
    for role, names in NAMES.items():
        if name in names:
            return role
    for role, beginnings in _BEGINNINGS.items():
        if name.startswith(beginnings) and not holds_images(place := class_folders_of(folder)) and _class_names(place):
            return role
    return ""


def _class_names(folder: Path) -> set[str]:
    """Names, in lower case, of the folders within that hold images at any depth."""
    return {below.name.casefold() for below in visible_folders(folder) if has_images_below(below)}


def _alike(first: set[str], second: set[str]) -> bool:
    return len(first & second) >= _ALIKE * len(first | second)
