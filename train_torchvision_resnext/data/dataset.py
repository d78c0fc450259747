"""Image folders → aligned, checked and split samples.

Classes are aligned by name over all parts, so that an extra or a missing folder never shifts an index: the labels are
those of the training part that have at least one readable image, sorted by name.
"""

import hashlib
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..resnext.machine.printable import shown
from ..resnext.trust.unknown import is_reserved
from .audit import Finding
from .folders import Classes, DatasetError, Folders, counted, listed
from .parts import TEST
from .samples import Sample

_rows = partial(listed, most=20)
_images = partial(counted, noun="image")


Parts = dict[str, tuple[Sample, ...]]
"""Training, validation and test, in this order."""


@dataclass(frozen=True)
class Dataset:
    """What is trained on.

    Attributes:
        labels: in index order.
        train, val: samples; every label has at least one in `train`.
        test: samples to judge the finished model by, once; none where the folder has no such part.
        notes: what the user should know of the data, a sentence each.
        fingerprint: changes with any image's content, name, class or part.
    """

    root: Path
    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    notes: tuple[str, ...]
    fingerprint: str

    def counts(self) -> list[int]:
        """Training images of each class, in index order."""
        counts = Counter(sample.target for sample in self.train)
        return [counts[target] for target in range(len(self.labels))]


def images_of(folders: Folders) -> list[Path]:
    """All image files of all parts, in a fixed order."""
    parts = (folders.train, folders.val or {}, folders.test or {})
    return [path for part in parts for label in sorted(part) for path in part[label]]


def assemble(
    folders: Folders, findings: dict[Path, Finding], val_fraction: float, max_broken: float, seed: int
) -> Dataset:
    """Leave out what is broken, align the classes, split where there is no validation part.

    Args:
        findings: of every path of `images_of(folders)`.
        val_fraction: share of each class for validation, in (0, 1), where the folder has no validation part.
        max_broken: largest share of broken files, in [0, 1], with which training goes on without them.

    Raises:
        DatasetError: with all problems.
    """
    problems, notes = _broken(folders, findings, max_broken)
    train = _readable(folders.train, findings)
    val = None if folders.val is None else _readable(folders.val, findings)
    test = _readable(folders.test or {}, findings)
    val = None if val is None else _aligned(val, train, "validation", notes)
    test = _aligned(test, train, TEST, notes)
    labels = tuple(sorted(label for label, paths in train.items() if paths))
    if unreadable := [label for label in labels if any("\ud800" <= each <= "\udfff" for each in label)]:
        # At once, for nothing can be written about them.
        raise DatasetError(
            [f"the class {shown(label)} has a name that is not UTF-8: rename the folder" for label in unreadable]
        )
    problems += _class_problems(labels, folders)
    notes += _case_notes(labels)
    if empty := [label for label in sorted(train) if label not in labels]:
        notes.append(f"not a class, because no training image is readable: {_rows(empty)}")
    notes += _class_notes(labels, train, val, "validation")
    notes += _class_notes(labels, train, test or None, TEST)
    if val is None:
        train, val = _split(train, findings, val_fraction, seed, notes)
    if labels and not any(val.get(label) for label in labels):
        problems.append(_nothing_to_validate_with(folders))
    if problems:
        raise DatasetError(problems, notes)
    parts = {
        part: tuple(
            Sample(path, index, findings[path].content_hash, min(findings[path].width, findings[path].height))
            for index, label in enumerate(labels)
            for path in classes.get(label, ())
        )
        for part, classes in (("training", train), ("validation", val), (TEST, test))
    }
    notes += _duplicate_notes(parts, folders)
    notes += _dim_notes(parts, findings, folders)
    notes += _page_notes(parts, findings, folders)
    notes[:0] = _summary(labels, parts, findings)
    fingerprint = _fingerprint(parts, labels, folders)
    return Dataset(folders.root, labels, parts["training"], parts["validation"], parts[TEST], tuple(notes), fingerprint)


def _broken(folders: Folders, findings: dict[Path, Finding], max_broken: float) -> tuple[list[str], list[str]]:
    """Problems, and notes after those of the folders."""
    broken = [path for path in images_of(folders) if findings[path].problem]
    if not broken:
        return [], [*folders.notes]
    told = [f"{_name(path, folders)} ({findings[path].problem})" for path in broken]
    sentence = f"{len(broken)} of {len(findings)} images are broken: {_rows(told)}"
    if len(broken) > max_broken * len(findings):
        problem = f"{sentence}. At most {max_broken:.0%} may be: repair or remove them, or raise max_broken"
        return [problem], [*folders.notes]
    return [], [*folders.notes, f"{sentence}; they are left out"]


def _readable(part: Classes, findings: dict[Path, Finding]) -> Classes:
    return {label: [path for path in paths if not findings[path].problem] for label, paths in part.items()}


def _class_problems(labels: Sequence[str], folders: Folders) -> list[str]:
    problems = [
        f"the class {label!r} has a line break in its name: rename the folder" for label in labels if _breaks(label)
    ]
    problems += [
        f"the class {label!r} has the name of the answer that is no class: rename the folder, for example to 'other'"
        for label in labels
        if is_reserved(label)
    ]
    if len(labels) < 2:
        found = f"only {labels[0]!r} has" if labels else "none has"
        problems.append(
            f"at least two classes with readable images are needed to train, {found}, of "
            f"{len(folders.train)} class folders in {folders.root}"
        )
    return problems


def _nothing_to_validate_with(folders: Folders) -> str:
    if folders.val is None:
        return (
            "there is no image to validate with, because no class has two different images: add images, some of which "
            "can be set aside, or a folder val/<class>/"
        )
    return "there is no image to validate with: add some to val/, or remove that folder to split train/"


def _aligned(part: Classes, train: Classes, name: str, notes: list[str]) -> Classes:
    """The part with the names of training's classes, where only upper and lower case tell them apart."""
    own = defaultdict(list)
    for label in train:
        own[label.casefold()].append(label)
    aligned: Classes = {}
    renamed = []
    for label, paths in part.items():
        same = own[label.casefold()]
        target = same[0] if label not in train and len(same) == 1 else label
        if target != label:
            renamed.append(f"{label} is {target}")
        aligned[target] = sorted([*aligned.get(target, []), *paths])
    if renamed:
        notes.append(f"classes of the {name} part whose names differ only in case from training's: {_rows(renamed)}")
    return aligned


def _case_notes(labels: Sequence[str]) -> list[str]:
    groups = defaultdict(list)
    for label in labels:
        groups[label.casefold()].append(label)
    alike = [" = ".join(group) for group in groups.values() if len(group) > 1]
    return (
        [f"classes whose names differ only in case; join them if they mean the same: {_rows(alike)}"] if alike else []
    )


def _breaks(label: str) -> bool:
    return label.splitlines() != [label]


def _class_notes(labels: Sequence[str], train: Classes, held_out: Classes | None, part: str) -> list[str]:
    """What the classes of a part that is held out have to do with those of training."""
    if held_out is None:
        return []
    notes = []
    if extra := [label for label in sorted(held_out) if label not in train]:
        count = sum(len(held_out[label]) for label in extra)
        notes.append(f"only in the {part} part, left out with {_images(count)}: {_rows(extra)}")
    if missing := [label for label in labels if not held_out.get(label)]:
        notes.append(f"without {part} images, so that nothing is known of how well they do: {_rows(missing)}")
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


def _summary(labels: Sequence[str], parts: Parts, findings: dict[Path, Finding]) -> Iterator[str]:
    train, val, test = parts.values()
    counts = Counter(labels[sample.target] for sample in train)
    yield f"{len(labels)} classes, {len(train)} training and {len(val)} validation images"
    if test:
        yield f"{_images(len(test))} in {TEST}/, by which the finished model is judged once"
    rare, common = min(labels, key=counts.__getitem__), max(labels, key=counts.__getitem__)
    if counts[common] > 3 * counts[rare]:
        yield (
            f"imbalance: {common!r} has {_images(counts[common])}, {rare!r} has {counts[rare]}; class_balance can make "
            "up for it"
        )
    sizes = {(findings[sample.path].width, findings[sample.path].height) for sample in train}
    sides = sorted(sample.short_side for sample in train)
    if len(sizes) == 1:
        ((width, height),) = sizes
        yield f"every training image has {width} x {height} pixels"
    else:
        yield (
            f"training images are of {len(sizes)} sizes, their short sides from {sides[0]} to {sides[-1]} pixels, "
            f"median {statistics.median(sides):g}"
        )


def _duplicate_notes(parts: Parts, folders: Folders) -> list[str]:
    places: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for part, samples in parts.items():
        for sample in samples:
            places[sample.content_hash].append((part, sample))
    leaks, contradictions = defaultdict(list), []
    for same in places.values():
        told = " = ".join(_name(sample.path, folders) for _, sample in same)
        where = [part for part in parts if part in {part for part, _ in same}]
        if len(where) > 1:
            leaks[" and ".join(where)].append(told)
        if len({sample.target for _, sample in same}) > 1:
            contradictions.append(told)
    notes = [
        f"the same image in {where}, which flatters the result: {_rows(images)}" for where, images in leaks.items()
    ]
    if contradictions:
        notes.append(f"the same image in different classes: {_rows(contradictions)}")
    return notes


def _dim_notes(parts: Parts, findings: dict[Path, Finding], folders: Folders) -> list[str]:
    samples = [sample for part in parts.values() for sample in part]
    dim = [sample.path for sample in samples if findings[sample.path].dimness]
    if not dim:
        return []
    first = f"{shown(_name(dim[0], folders))}: {findings[dim[0]].dimness}"
    return [f"{len(dim)} of {_images(len(samples))} leave most of their range of values unused; {first}"]


def _page_notes(parts: Parts, findings: dict[Path, Finding], folders: Folders) -> list[str]:
    paths = [sample.path for samples in parts.values() for sample in samples if findings[sample.path].pages]
    if not paths:
        return []
    first = f"{shown(_name(paths[0], folders))}: {findings[paths[0]].pages}"
    return [f"{_images(len(paths))} with several pages or frames; {first}"]


def _fingerprint(parts: Parts, labels: Sequence[str], folders: Folders) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part, samples in zip(("train", "val", TEST), parts.values(), strict=True):
        for sample in samples:
            row = (part, labels[sample.target], _name(sample.path, folders), sample.content_hash)
            digest.update("\0".join(row).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _name(path: Path, folders: Folders) -> str:
    return path.relative_to(folders.root).as_posix()
