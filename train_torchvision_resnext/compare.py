"""Whether one of two models is better, by the images that both were judged on.

`python -m train_torchvision_resnext compare RUN RUN` compares the answers that two trainings gave to the images of both
validation parts, and of both test parts; `compare MODEL MODEL --on FOLDER` those to the images of a folder. Two models
are told apart by the images that only one of them answers right, which shows far smaller differences than the intervals
of both do.
"""

import argparse
import csv
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

from .resnext.folder.model_folder import model_folder_of
from .resnext.host.streams import escape_unencodable_output
from .resnext.images.opencv import import_ikomia
from .resnext.machine.printable import shown
from .resnext.trust.intervals import CONFIDENCE, Interval

REPORT = "report"
TABLES = {"validation": "validation.csv", "test": "test.csv"}
"""Part of the images → table of answers in a model folder's report."""


MOST_SHOWN = 10


class ComparisonError(ValueError):
    """Two runs cannot be compared; the message names the file and why."""


class Image(NamedTuple):
    """An image that was judged: the same file of another class is another image.

    Attributes:
        file: relative to the dataset.
        content: hash of the file; empty in tables of earlier versions.
    """

    file: str
    label: str
    content: str = ""

    def __str__(self) -> str:
        return f"{self.file} ({self.label})"


@dataclass(frozen=True)
class Paired:
    """Two models on the same images.

    Attributes:
        both, only_first, only_second: how many images both, or only one of them, answered right.
        images: of all.
        notes: images that only one of them was judged on, and are left out.
    """

    both: int
    only_first: int
    only_second: int
    images: int
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first, in [-1, 1]."""
        return (self.only_second - self.only_first) / self.images

    @property
    def interval(self) -> Interval:
        """95 %, of the difference.

        Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired
        Data", Journal of Educational and Behavioral Statistics 2012.
        """
        first, second = (self.only_first + 1) / (self.images + 2), (self.only_second + 1) / (self.images + 2)
        spread = math.sqrt((first + second - (second - first) ** 2) / (self.images + 2))
        reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * spread
        return max(-1.0, second - first - reach), min(1.0, second - first + reach)

    @property
    def p_value(self) -> float:
        """How often two equally good models differ by so much or more, in [0, 1].

        McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 1947;
        exact and two-sided.
        """
        count = self.only_first + self.only_second
        as_few = sum(math.comb(count, fewer) for fewer in range(min(self.only_first, self.only_second) + 1))
        return min(1.0, 2 * as_few / (1 << count))


def paired(first: Mapping[Image, bool], second: Mapping[Image, bool]) -> Paired:
    """Count. Both say which images were answered right, and share at least one image; the others are left out."""
    shared = [image for image in first if image in second]
    pairs = [(first[image], second[image]) for image in shared]
    both, only_first, only_second = (pairs.count(pair) for pair in ((True, True), (True, False), (False, True)))
    notes = (*_left_out(first, second, "first"), *_left_out(second, first, "second"))
    return Paired(both, only_first, only_second, len(pairs), notes)


def _left_out(own: Mapping[Image, bool], other: Mapping[Image, bool], name: str) -> Iterator[str]:
    """A sentence on the images that only one of the two was judged on, and one on their classes."""
    alone = [image for image in own if image not in other]
    if not alone:
        return
    noun = "image" if len(alone) == 1 else "images"
    yield f"left out: {len(alone):,} {noun} that only the {name} was judged on, such as {shown(alone[0])}"
    classes = sorted({image.label for image in own} - {image.label for image in other})
    if classes:
        listed = ", ".join(map(shown, classes[:MOST_SHOWN]))
        more = f" and {len(classes) - MOST_SHOWN} more" if len(classes) > MOST_SHOWN else ""
        yield f"classes that only the {name} was judged on: {listed}{more}"


def read_right(table: Path) -> dict[Image, bool]:
    """Image → whether it was answered right. Raises: ComparisonError."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = [
                (Image(row["file"], row["true"], row.get("content", "")), row["true"] == row["predicted"])
                for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ComparisonError(f"{table} is no table of answers ({error!r}): train the run again") from error
    if not rows:
        raise ComparisonError(f"{table} holds no answers: train the run again")
    return dict(rows)


def compare(first: Path, second: Path) -> dict[str, Paired]:
    """Part of the images → how two runs, or their model folders, compare on it. `test` is there if both have it.

    An image that both were judged on had no part in either training.

    Raises:
        ComparisonError: a table is missing or damaged, or they have no image in common.
    """
    for run in (first, second):
        if not run.is_dir():
            raise ComparisonError(f"{run} is not a folder: expected the folder of a run, or its model folder")
    reports = [model_folder_of(run) / REPORT for run in (first, second)]
    found = {}
    for part, name in TABLES.items():
        tables = [report / name for report in reports]
        if part == "test" and not all(table.is_file() for table in tables):
            continue
        first_right, second_right = _comparable(*(read_right(table) for table in tables))
        if not first_right.keys() & second_right.keys():
            differing = sorted(first_right.keys() ^ second_right.keys())
            raise ComparisonError(
                f"{tables[0]} and {tables[1]} are of different images: {len(differing)} are in one of them only, or of "
                f"another class there, such as {shown(differing[0])}; compare both on one folder of images with "
                "--on FOLDER"
            )
        found[part] = paired(first_right, second_right)
    return found


def _comparable(
    first: Mapping[Image, bool], second: Mapping[Image, bool]
) -> tuple[Mapping[Image, bool], Mapping[Image, bool]]:
    """Both without the contents of files where one of them was written before contents were."""
    if all(image.content for table in (first, second) for image in table):
        return first, second
    bare = ({Image(image.file, image.label): right for image, right in table.items()} for table in (first, second))
    return next(bare), next(bare)


def compare_on(first: Path, second: Path, folder: Path, device: str = "auto", part: str = "") -> Paired:
    """How two models compare on the images of a folder, of the classes that both know.

    Raises:
        ComparisonError: a model, the folder or the device cannot be used.
    """
    from .evaluated_model import UNUSABLE, evaluate

    right, notes = [], []
    try:
        for name, model in (("first", first), ("second", second)):
            evaluated = evaluate(model, folder, device, part)
            answers, root = evaluated.answers, evaluated.images.root
            images = (
                Image(sample.path.relative_to(root).as_posix(), answers.labels[sample.target], sample.content_hash)
                for sample in answers.samples
            )
            right.append(dict(zip(images, (answers.predicted == answers.targets).tolist(), strict=True)))
            notes += [f"the {name}: {note}" for note in evaluated.images.notes]
    except UNUSABLE as error:
        raise ComparisonError(str(error)) from error
    if not right[0].keys() & right[1].keys():
        raise ComparisonError(f"{folder} has no image of a class that both models know")
    found = paired(*right)
    return replace(found, notes=(*notes, *found.notes))


def sentence(found: Paired, part: str) -> str:
    """What came out, for a person."""
    low, high = (100 * end for end in found.interval)
    figures = (
        f"{found.difference * 100:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}; only the first answers "
        f"{found.only_first} right, only the second {found.only_second}; p = {found.p_value:.2g}, McNemar's exact test"
    )
    better = "second" if found.difference > 0 else "first"
    certain = found.p_value <= 1 - CONFIDENCE
    verdict = f"the {better} is better" if certain else "neither is shown to be better"
    first, second = (100 * (found.both + only) / found.images for only in (found.only_first, found.only_second))
    noun = " ".join(word for word in (part, "image" if found.images == 1 else "images") if word)
    return f"On {found.images:,} {noun}, {first:.1f} % and {second:.1f} % right, {verdict}: {figures}."


def main(arguments: Sequence[str]) -> int:
    """Compare. Returns: the exit status, 1 where they cannot be compared."""
    parser = argparse.ArgumentParser(prog="python -m train_torchvision_resnext compare", description=__doc__)
    parser.add_argument("first", type=Path, help="the folder of a run, or its model folder")
    parser.add_argument("second", type=Path, help="another one")
    parser.add_argument("--on", type=Path, metavar="FOLDER", help="class folders that both are to answer now")
    parser.add_argument("--part", choices=("train", "val", "test"), default="", help="part of FOLDER")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    options = parser.parse_args(arguments)
    try:
        if options.on:
            import_ikomia()
            results = {"": compare_on(options.first, options.second, options.on, options.device, options.part)}
        else:
            results = compare(options.first, options.second)
        for part, found in results.items():
            print("\n".join([sentence(found, part), *found.notes]))
    except ComparisonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    escape_unencodable_output()
    sys.exit(main(sys.argv[1:]))
