"""Whether one of two trainings is better, by the images that both were judged on.

`python -m train_torchvision_resnext compare RUN RUN`. Two runs on the same images are told apart by those that only one
of them answers right, which shows far smaller differences than the intervals of both do.
"""

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from .resnext.folder.model_folder import model_folder_of
from .resnext.host.shown_text import shown
from .resnext.host.streams import escape_unencodable_output
from .resnext.trust.intervals import CONFIDENCE, Interval

REPORT = "report"
TABLES = {"validation": "validation.csv", "test": "test.csv"}
"""Part of the images → table of answers in a model folder's report."""


class ComparisonError(ValueError):
    """Two runs cannot be compared; the message names the file and why."""


@dataclass(frozen=True)
class Paired:
    """Two models on the same images.

    Attributes:
        both, only_first, only_second: how many images both, or only one of them, answered right.
        images: of all.
    """

    both: int
    only_first: int
    only_second: int
    images: int

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


def paired(first: Mapping[str, bool], second: Mapping[str, bool]) -> Paired:
    """Count. Both say of the same images, at least one, which were answered right."""
    pairs = [(right, second[image]) for image, right in first.items()]
    return Paired(pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), len(pairs))


def read_right(table: Path) -> dict[str, bool]:
    """Image and its class → whether it was answered right. Raises: ComparisonError."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = [
                (f"{row['file']} ({row['true']})", row["true"] == row["predicted"]) for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ComparisonError(f"{table} is no table of answers ({error!r}): train the run again") from error
    if not rows:
        raise ComparisonError(f"{table} holds no answers: train the run again")
    return dict(rows)


def compare(first: Path, second: Path) -> dict[str, Paired]:
    """Part of the images → how two runs, or their model folders, compare on it. `test` is there if both have it.

    Raises:
        ComparisonError: a table is missing or damaged, or they are of different images.
    """
    reports = [model_folder_of(run) / REPORT for run in (first, second)]
    found = {}
    for part, name in TABLES.items():
        tables = [report / name for report in reports]
        if part == "test" and not all(table.is_file() for table in tables):
            continue
        right = [read_right(table) for table in tables]
        if differing := sorted(right[0].keys() ^ right[1].keys()):
            raise ComparisonError(
                f"{tables[0]} and {tables[1]} are of different images: {len(differing)} are in one of them only, or of "
                f"another class there, such as {shown(differing[0])}; train both on the same folder, with the same "
                "seed where validation images are set aside"
            )
        found[part] = paired(*right)
    return found


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
    return f"On {found.images:,} {part} images, {first:.1f} % and {second:.1f} % right, {verdict}: {figures}."


def main(arguments: Sequence[str]) -> int:
    """Compare. Returns: the exit status, 1 where they cannot be compared."""
    parser = argparse.ArgumentParser(prog="python -m train_torchvision_resnext compare", description=__doc__)
    parser.add_argument("first", type=Path, help="the folder of a run, or its model folder")
    parser.add_argument("second", type=Path, help="another one, judged on the same images")
    asked = parser.parse_args(arguments)
    try:
        for part, found in compare(asked.first, asked.second).items():
            print(sentence(found, part))
    except ComparisonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    escape_unencodable_output()
    sys.exit(main(sys.argv[1:]))
