"""What a network says of the images of one part of the dataset, and the table of it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ..data.samples import Sample
from ..metrics.evaluation import Evaluation, evaluate
from ..resnext.machine.printable import FORMULA, shown
from ..resnext.network.outputs import softmax
from ..resnext.trust.calibration import calibrated
from ..resnext.trust.costs import Costs, answers_of


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to a part, validation or test.

    Attributes:
        samples: the part's N images.
        logits: N x C, float32, finite.
        evaluation: how good they are.
        costs: of wrong answers; None where nobody said.
        temperature: by which inference will divide the logits; None = nobody looked for one.
    """

    samples: Sequence[Sample]
    logits: NDArray[np.float32]
    evaluation: Evaluation
    costs: Costs | None = None
    temperature: float | None = None

    @classmethod
    def judge(
        cls,
        samples: Sequence[Sample],
        logits: NDArray[np.float32],
        labels: Sequence[str],
        costs: Costs | None = None,
    ) -> Self:
        """Evaluate the logits; `labels` in index order. Raises: ValueError: see `evaluate`."""
        return cls(samples, logits, evaluate(logits, _targets(samples), labels, costs), costs)

    def at(self, temperature: float) -> Self:
        """The same, calibrated."""
        return replace(self, temperature=temperature)

    @property
    def labels(self) -> tuple[str, ...]:
        """C labels in index order."""
        return self.evaluation.labels

    @property
    def paths(self) -> list[Path]:
        return [sample.path for sample in self.samples]

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """N class indices."""
        return _targets(self.samples)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """N class indices; of equal logits the first."""
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """N x C, in [0, 1], calibrated: as inference gives them."""
        return calibrated(self.logits, self.temperature or 1.0)

    @cached_property
    def decided(self) -> NDArray[np.int64]:
        """N class indices: the most probable ones, or those of least expected cost, as inference answers."""
        return answers_of(self.probabilities, self.costs)

    def probability_of(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """N, of one class of each row."""
        return np.asarray(np.take_along_axis(self.probabilities, classes[:, None], 1)[:, 0])

    def write_csv(self, file: Path, root: Path) -> None:
        """A row for each image: what it is, and what the network says. Paths relative to `root`. Raises: OSError."""
        columns = {
            "file": [cell(sample.path.relative_to(root).as_posix()) for sample in self.samples],
            "true": self._named(self.targets),
            "predicted": self._named(self.predicted),
        }
        for name, rows in (("probability", softmax(self.logits)), ("calibrated_probability", self.probabilities)):
            for of, classes in (("", self.predicted), ("_of_true", self.targets)):
                columns[name + of] = np.take_along_axis(rows, classes[:, None], 1)[:, 0].tolist()
        if self.costs:
            columns["answer_of_least_cost"] = self._named(self.decided)
        columns["content"] = [sample.content_hash for sample in self.samples]
        with file.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(columns)
            table.writerows(zip(*columns.values(), strict=True))

    def _named(self, classes: NDArray[np.int64]) -> list[str]:
        return [cell(self.labels[index]) for index in classes]


def cell(text: str) -> str:
    """A name as spreadsheets show it; what begins like a formula they would compute."""
    return f"'{shown(text)}" if text.startswith(FORMULA) else shown(text)


def _targets(samples: Sequence[Sample]) -> NDArray[np.int64]:
    return np.array([sample.target for sample in samples], np.int64)
