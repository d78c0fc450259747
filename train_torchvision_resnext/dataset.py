"""Image folders → aligned, checked and split samples.

Classes are aligned by name over all parts, so that an extra or a missing folder never shifts an index: the labels are
those of the training part that have at least one readable image, sorted by name.
"""

import hashlib
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .audit import Finding
from .folders import Classes, DatasetError, Folders
from .resnext.shown_text import shown

MOST_LISTED = 20


@dataclass(frozen=True)
class Sample:
    """One image. `target` is its class's index in the dataset's labels."""

    path: Path
    target: int


@dataclass(frozen=True)
class Dataset:
    """What is trained on.

    Attributes:
        labels: in index order.
        train, val: samples; every label has at least one in `train`.
        notes: what the user should know of the data, a sentence each.
        fingerprint: changes with any image's content, name, class or part.
    """

    root: Path
    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    notes: tuple[str, ...]
    fingerprint: str

    def counts(self) -> list[int]:
        """Training images of each class, in index order."""
        counts = [0] * len(self.labels)
        for sample in self.train:
            counts[sample.target] += 1
        return counts


def images_of(folders: Folders) -> list[Path]:
    """All image files of both parts, in a fixed order."""
    return [path for part in (folders.train, folders.val or {}) for label in sorted(part) for path in part[label]]


def assemble(
    folders: Folders, findings: dict[Path, Finding], val_fraction: float, max_broken: float, seed: int
) -> Dataset:
    """Leave out what is broken, align the classes, split where there is no validation part.

    Args:
        findings: of every path of `images_of(folders)`.
        val_fraction: share of each class for validation, in (0, 1), where the folder has no validation part.
        max_broken: share of broken files, in [0, 1], that is put up with.

    Raises:
        DatasetError: with all problems.
    """
    problems: list[str] = []
    notes = list(folders.notes)
    broken = [path for path in images_of(folders) if findings[path].problem]
    if broken:
        told = [f"{_name(path, folders)} ({findings[path].problem})" for path in broken]
        sentence = f"{len(broken)} of {len(findings)} images are broken: {_rows(told)}"
        too_many = len(broken) > max_broken * len(findings)
        if too_many:
            problems.append(f"{sentence}. At most {max_broken:.0%} are put up with: mend them, or raise max_broken")
        else:
            notes.append(f"{sentence}; they are left out")
    train = _readable(folders.train, findings)
    val = None if folders.val is None else _readable(folders.val, findings)
    labels = tuple(sorted(label for label, paths in train.items() if paths))
    problems += _class_problems(labels, folders)
    notes += _class_notes(labels, folders, train, val)
    if val is None:
        train, val = _split(train, findings, val_fraction, seed, notes)
    if not any(val.get(label) for label in labels):
        problems.append("there is no image to validate with: add some to val/, or remove that folder to split train/")
    if problems:
        raise DatasetError(problems)
    notes += _duplicate_notes(train, val, findings, folders)
    notes[:0] = _summary(labels, train, val, findings)
    parts = {
        part: tuple(Sample(path, index) for index, label in enumerate(labels) for path in classes.get(label, ()))
        for part, classes in (("train", train), ("val", val))
    }
    return Dataset(
        folders.root, labels, parts["train"], parts["val"], tuple(notes), _fingerprint(parts, labels, findings, folders)
    )


def _readable(part: Classes, findings: dict[Path, Finding]) -> Classes:
    return {label: [path for path in paths if not findings[path].problem] for label, paths in part.items()}


def _class_problems(labels: Sequence[str], folders: Folders) -> list[str]:
    problems = [
        f"the class {label!r} has a line break in its name: rename the folder" for label in labels if _breaks(label)
    ]
    if len(labels) < 2:
        found = f"only {labels[0]!r} has" if labels else "none has"
        problems.append(
            f"at least two classes with readable images are needed to train, {found}, of "
            f"{len(folders.train)} class folders in {folders.root}"
        )
    return problems


def _breaks(label: str) -> bool:
    return label.splitlines() != [label]


def _class_notes(labels: Sequence[str], folders: Folders, train: Classes, val: Classes | None) -> list[str]:
    notes = []
    if empty := [label for label in sorted(train) if label not in labels]:
        notes.append(f"no class, for want of readable training images: {_rows(empty)}")
    if val is None:
        return notes
    if extra := [label for label in sorted(val) if label not in train]:
        count = sum(len(val[label]) for label in extra)
        notes.append(f"only in the validation part, left out with {_images(count)}: {_rows(extra)}")
    if missing := [label for label in labels if not val.get(label)]:
        notes.append(f"without validation images, so that nothing is known of how well they do: {_rows(missing)}")
    return notes


def _split(
    train: Classes, findings: dict[Path, Finding], val_fraction: float, seed: int, notes: list[str]
) -> tuple[Classes, Classes]:
    """Set a share of each class aside. Exact duplicates stay on one side; a class always keeps one for training."""
    kept: Classes = {}
    held_out: Classes = {}
    single = []
    for label, paths in train.items():
        groups = defaultdict(list)
        for path in paths:
            groups[findings[path].content_hash].append(path)
        # By content, so that renaming a file does not move it; by class, so that another class does not either.
        hashes = sorted(groups)
        random.Random(f"{seed}/{label}").shuffle(hashes)
        wanted = min(max(1, round(val_fraction * len(hashes))), len(hashes) - 1) if hashes else 0
        held_out[label] = sorted(path for key in hashes[:wanted] for path in groups[key])
        kept[label] = sorted(path for key in hashes[wanted:] for path in groups[key])
        if len(hashes) == 1:
            single.append(label)
    notes.append(f"no validation part: {val_fraction:.0%} of each class were set aside for it")
    if single:
        notes.append(f"with one image only, which is trained on and not validated with: {_rows(sorted(single))}")
    return kept, held_out


def _summary(labels: Sequence[str], train: Classes, val: Classes, findings: dict[Path, Finding]) -> Iterator[str]:
    counts = {label: len(train[label]) for label in labels}
    validation = sum(len(val.get(label, ())) for label in labels)
    yield f"{len(labels)} classes, {sum(counts.values())} training and {validation} validation images"
    rare, common = min(labels, key=counts.__getitem__), max(labels, key=counts.__getitem__)
    if counts[common] > 3 * counts[rare]:
        yield (
            f"imbalance: {common!r} has {_images(counts[common])}, {rare!r} has {counts[rare]}; class_balance can make "
            "up for it"
        )
    shown = [findings[path] for label in labels for path in train[label]]
    sides = sorted(min(finding.width, finding.height) for finding in shown)
    sizes = len({(finding.width, finding.height) for finding in shown})
    if sizes == 1:
        yield f"every training image has {shown[0].width} x {shown[0].height} pixels"
    else:
        yield (
            f"training images are of {sizes} sizes, their short sides from {sides[0]} to {sides[-1]} pixels, median "
            f"{statistics.median(sides):g}"
        )


def _duplicate_notes(train: Classes, val: Classes, findings: dict[Path, Finding], folders: Folders) -> list[str]:
    places: dict[str, list[tuple[str, str, Path]]] = defaultdict(list)
    for part, classes in (("train", train), ("val", val)):
        for label, paths in classes.items():
            for path in paths:
                places[findings[path].content_hash].append((part, label, path))
    leaks, contradictions = [], []
    for same in places.values():
        told = " = ".join(_name(path, folders) for _, _, path in same)
        if len({part for part, _, _ in same}) > 1:
            leaks.append(told)
        if len({label for _, label, _ in same}) > 1:
            contradictions.append(told)
    notes = []
    if leaks:
        notes.append(f"the same image in training and validation, which flatters the result: {_rows(leaks)}")
    if contradictions:
        notes.append(f"the same image in different classes: {_rows(contradictions)}")
    return notes


def _fingerprint(
    parts: dict[str, tuple[Sample, ...]], labels: Sequence[str], findings: dict[Path, Finding], folders: Folders
) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part, samples in parts.items():
        for sample in samples:
            row = (part, labels[sample.target], _name(sample.path, folders), findings[sample.path].content_hash)
            digest.update("\0".join(row).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _name(path: Path, folders: Folders) -> str:
    return path.relative_to(folders.root).as_posix()


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _rows(items: Sequence[str]) -> str:
    more = f" and {len(items) - MOST_LISTED} more" if len(items) > MOST_LISTED else ""
    return ", ".join(map(shown, items[:MOST_LISTED])) + more
