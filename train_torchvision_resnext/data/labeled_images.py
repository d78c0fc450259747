"""A folder of labeled images, seen with the classes of a model that is trained already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..resnext.images.rgb import ValueRange
from .audit import Cache, audit
from .folders import Classes, DatasetError, Folders, counted, find_folders, listed
from .samples import Sample

PARTS = ("test", "val", "train")
"""Of a dataset with parts, the first that it has is judged: no part of the training saw the images of `test/`."""


@dataclass(frozen=True)
class LabeledImages:
    """Images whose class the model knows.

    Attributes:
        root: paths in tables are relative to it.
        samples: their targets are indices into the model's labels.
        missing: the model's labels without an image here.
        notes: what was left out, and why, a sentence each.
    """

    root: Path
    samples: tuple[Sample, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def find_labeled_images(root: Path, labels: Sequence[str], values: ValueRange, part: str = "") -> LabeledImages:
    """Look for class folders, match them with the labels by name, and check each image.

    Args:
        labels: of the model, in index order.
        values: which values of the images are black and white.
        part: of a dataset with parts: train, val or test; empty = the first of `PARTS` that is there.

    Raises:
        DatasetError: no such folder or part, no class of the model, or no image that can be read.
    """
    folders = find_folders(root)
    classes, notes = _classes_of(folders, part)
    places = {label: place for place, label in enumerate(labels)}
    if not classes.keys() & places.keys():
        raise DatasetError(
            [
                f"{root} has no class of the model: it has {listed(sorted(classes))}, the model knows "
                f"{listed(sorted(labels))}"
            ]
        )
    extra = [label for label in sorted(classes) if label not in places]
    if extra:
        count = sum(len(classes[label]) for label in extra)
        notes.append(f"left out {counted(count, 'image')} of classes that the model does not know: {listed(extra)}")
    images = [(path, places[label]) for label in sorted(classes) if label in places for path in classes[label]]
    # Nothing is kept: the folder is not ours to write into.
    findings = audit([path for path, _ in images], Cache(root / ".not-kept", values))
    broken = [path for path, _ in images if findings[path].problem]
    if broken:
        named = [f"{path.relative_to(root).as_posix()} ({findings[path].problem})" for path in broken]
        notes.append(f"left out {counted(len(broken), 'image')} that cannot be read: {listed(named)}")
    samples = tuple(
        Sample(path, target, findings[path].content_hash, min(findings[path].width, findings[path].height))
        for path, target in images
        if not findings[path].problem
    )
    if not samples:
        raise DatasetError([f"{root} has no image to judge the model by", *notes])
    present = {sample.target for sample in samples}
    missing = tuple(label for place, label in enumerate(labels) if place not in present)
    if missing:
        notes.append(f"{len(missing)} of {len(labels)} classes of the model have no image here: {listed(missing)}")
    return LabeledImages(root, samples, missing, tuple(notes))


def _classes_of(folders: Folders, part: str) -> tuple[Classes, list[str]]:
    """Image files by class, and notes."""
    notes = list(folders.notes)
    has_parts = folders.val is not None or folders.test is not None
    if not has_parts:
        return folders.train, notes
    parts = {"test": folders.test, "val": folders.val, "train": folders.train}
    chosen = part or next(name for name in PARTS if parts[name])
    classes = parts[chosen]
    if not classes:
        raise DatasetError([f"{folders.root} has no {chosen}/: set another part"])
    return classes, [f"of {folders.root}, {chosen}/ is judged", *notes]
