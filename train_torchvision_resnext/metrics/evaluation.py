"""How good a network is: figures from its logits and the true classes.

Macro averages go over the classes that occur, among the true classes or the predicted ones, which is what scikit-learn
does unless told otherwise. A class that is predicted but has no image counts with 0; a class that
neither occurs nor is predicted tells nothing and is left out. Notes name both, and every class never predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resnext.machine.printable import shown
from ..resnext.network.outputs import softmax
from ..resnext.trust.costs import Costs
from ..resnext.trust.intervals import macro_f1_interval, wilson

TOP = 5
SCALARS = ("loss", "top1", "top5", "macro_precision", "macro_recall", "macro_f1", "balanced_accuracy")
NAMES_IN_A_NOTE = 10


@dataclass(frozen=True)
class ClassMetrics:
    """One class.

    Attributes:
        support: images that truly are of this class.
        predicted: images that were said to be.
        precision: of those predicted, the fraction that is; 0 where none was predicted.
        recall: of those that are, the fraction found; 0 where there is none.
        f1: harmonic mean of both; 0 where both are.
    """

    label: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Confusion:
    """How often one class was taken for another."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Evaluation:
    """All figures of one evaluation; fractions lie in [0, 1].

    Attributes:
        loss: mean cross-entropy in nats, without label smoothing or class weights.
        top1: fraction of images whose best class is the true one.
        top5: fraction whose true class is among the best five; 1 for models with up to five classes.
        macro_precision: mean over the classes that occur; see the module.
        per_class: in index order.
        confusion: C x C counts, rows true, columns predicted.
        notes: what a reader of the figures must know, one sentence each.
        expected_cost: mean cost of an answer, where each is the one of least expected cost by the probabilities as
            they are, without calibration; None without costs.
    """

    loss: float
    top1: float
    top5: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]
    expected_cost: float | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(metrics.label for metrics in self.per_class)

    @property
    def count(self) -> int:
        """Images evaluated."""
        return sum(metrics.support for metrics in self.per_class)

    @property
    def right(self) -> int:
        """Images whose best class is the true one."""
        return round(self.top1 * self.count)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images."""
        return float(np.mean([metrics.recall for metrics in self.per_class if metrics.support]))

    @property
    def top1_interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of `top1`."""
        return wilson(self.right, self.count)

    def intervals(self) -> dict[str, Any]:
        """95 % intervals, JSON-ready: Wilson's of proportions, the bootstrap's of macro F1."""
        table = np.array(self.confusion)
        targets, predicted = (np.repeat(axis.ravel(), table.ravel()) for axis in np.indices(table.shape))
        right = table.diagonal()
        return {
            "top1": list(self.top1_interval),
            "macro_f1": list(macro_f1_interval(predicted, targets, len(table))),
            "precision": [
                list(wilson(int(hits), each.predicted)) for hits, each in zip(right, self.per_class, strict=True)
            ],
            "recall": [list(wilson(int(hits), each.support)) for hits, each in zip(right, self.per_class, strict=True)],
        }

    def confusions(self) -> tuple[Confusion, ...]:
        """Every pair of classes that were confused, the most frequent first; ties in index order."""
        table = np.array(self.confusion)
        np.fill_diagonal(table, 0)
        rows, columns = np.nonzero(table)
        order = np.argsort(-table[rows, columns], kind="stable")
        labels = self.labels
        return tuple(
            Confusion(labels[row], labels[column], int(table[row, column]))
            for row, column in zip(rows[order], columns[order], strict=True)
        )

    def scalars(self) -> dict[str, float]:
        """The headline figures by name, for trackers and tables."""
        found = {name: getattr(self, name) for name in SCALARS}
        return found if self.expected_cost is None else {**found, "expected_cost": self.expected_cost}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.scalars(),
            "count": self.count,
            "intervals": self.intervals(),
            "per_class": [vars(metrics).copy() for metrics in self.per_class],
            "confusion": [list(row) for row in self.confusion],
            "notes": list(self.notes),
        }


def evaluate(
    logits: NDArray[np.float32], targets: NDArray[np.int64], labels: Sequence[str], costs: Costs | None = None
) -> Evaluation:
    """Compare logits with the true classes.

    Args:
        logits: N x C, float32.
        targets: N class indices in 0..C-1, int64.
        labels: C labels in index order.
        costs: of wrong answers.

    Raises:
        ValueError: no images, shapes that do not fit, indices outside 0..C-1, logits that are NaN or infinite.
    """
    _check(logits, targets, labels)
    import torch
    from torch.nn.functional import cross_entropy

    classes = len(labels)
    ranks = _ranks(logits, targets)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (targets, logits.argmax(axis=1)), 1)
    right, support, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    # F1 = 2 P R / (P + R), written in counts.
    figures = (
        right / np.maximum(predicted, 1),
        right / np.maximum(support, 1),
        2 * right / np.maximum(support + predicted, 1),
    )
    macro_precision, macro_recall, macro_f1 = (float(each[support + predicted > 0].mean()) for each in figures)
    metrics = tuple(map(ClassMetrics, labels, *(each.tolist() for each in (support, predicted, *figures))))
    return Evaluation(
        loss=float(cross_entropy(torch.tensor(logits, dtype=torch.float64), torch.tensor(targets))),
        top1=float((ranks < 1).mean()),
        top5=float((ranks < TOP).mean()),
        macro_precision=macro_precision,
        macro_recall=macro_recall,
        macro_f1=macro_f1,
        per_class=metrics,
        confusion=tuple(map(tuple, confusion.tolist())),
        notes=tuple(_notes(metrics)),
        expected_cost=costs.mean(costs.decide(softmax(logits)), targets) if costs else None,
    )


def _ranks(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes come before the true one: those with a larger logit, and of equal ones those of lower index.

    Inference orders its answers in the same way, and a network that says nothing gains nothing by it.
    """
    true = np.take_along_axis(logits, targets[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < targets[:, None]
    return np.asarray(((logits > true) | ((logits == true) & earlier)).sum(axis=1))


def _check(logits: NDArray[np.float32], targets: NDArray[np.int64], labels: Sequence[str]) -> None:
    if logits.ndim != 2 or logits.shape[1] != len(labels) or targets.shape != logits.shape[:1]:
        raise ValueError(
            f"logits of shape {logits.shape} and targets of shape {targets.shape}: expected N x {len(labels)} logits, "
            f"one column for each of the {len(labels)} labels, and N targets"
        )
    if not logits.size:
        raise ValueError("there is nothing to evaluate: the validation part has no images, or the model no classes")
    wrong = targets[(targets < 0) | (targets >= len(labels))]
    if wrong.size:
        raise ValueError(f"targets holds the class {wrong[0]}: expected indices from 0 to {len(labels) - 1}")
    rows = int((~np.isfinite(logits)).any(axis=1).sum())
    if rows:
        raise ValueError(
            f"the logits of {rows} of {len(logits)} images are NaN or infinite: the training diverged, or the "
            "precision is too low for the weights; lower learning_rate, or set precision to fp32"
        )


def _notes(metrics: Sequence[ClassMetrics]) -> list[str]:
    missed = [m.label for m in metrics if m.support and not m.predicted]
    invented = [m.label for m in metrics if m.predicted and not m.support]
    absent = [m.label for m in metrics if not m.predicted and not m.support]
    notes = []
    if missed:
        notes.append(f"{_classes(missed)} never predicted: precision, recall and F1 are 0.")
    if invented:
        notes.append(
            f"{_classes(invented)} predicted, but no image of the evaluation is of that class: precision, recall and "
            "F1 are 0 and count in the macro averages."
        )
    if absent:
        notes.append(
            f"{_classes(absent)} neither among the images of the evaluation nor predicted: precision, recall and F1 "
            "are 0 and left out of the macro averages."
        )
    return notes


def _classes(labels: Sequence[str]) -> str:
    names = ", ".join(map(shown, labels[:NAMES_IN_A_NOTE]))
    if len(labels) > NAMES_IN_A_NOTE:
        names += f" and {len(labels) - NAMES_IN_A_NOTE} more"
    return f"1 class ({names}) was" if len(labels) == 1 else f"{len(labels)} classes ({names}) were"
