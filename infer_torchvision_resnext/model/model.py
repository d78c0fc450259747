"""A trained model, read once: what all rooms are handed that run it, judge by it or describe it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..resnext.folder.golden import Golden
from ..resnext.folder.weight_files import WeightFileError, read_classifier, read_state
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.network.architecture import Architecture
from ..resnext.trust.calibration import Calibration
from ..resnext.trust.costs import Costs
from ..resnext.trust.evidence import Evidence
from ..resnext.trust.unknown import UNKNOWN, distinct_labels
from .cache import Cache, stamp_of

if TYPE_CHECKING:
    import torch
    from torch.nn import Sequential

    State = dict[str, torch.Tensor]

T = TypeVar("T")


class WeightsError(ValueError):
    """The weights cannot be used; the message names the file, what was found, what was expected and the remedy."""


@dataclass(frozen=True)
class KnownFile:
    """A file as it was when it was found: all that is read of it belongs to one content.

    Attributes:
        stamp: of the content; see `stamp_of`.
        digest_of: SHA-256 of a file's content; see `Cache.digest`.

    Raises:
        WeightsError: from whatever looks at the file, if it was changed since.
    """

    path: Path
    stamp: tuple[int, ...]
    digest_of: Callable[[Path], str]

    @classmethod
    def of(cls, path: Path, cache: Cache) -> "KnownFile":
        """Raises: OSError."""
        return cls(path, stamp_of(path), cache.digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content. Read a file first that may be anything: its size is not checked here."""
        return self.read(self.digest_of)

    def read(self, reader: Callable[[Path], T]) -> T:
        """What a reader makes of the file. Raises: as the reader does."""
        found = reader(self.path)
        if not self.path.is_file() or stamp_of(self.path) != self.stamp:
            raise WeightsError(f"{self.path} was changed while the model was being loaded: run again")
        return found


@dataclass(frozen=True)
class Model:
    """A trained model, but for the place it runs in.

    Attributes:
        source: what the user asked for: a torchvision name, resolved (`IMAGENET1K_V2`), or a path.
        labels: in index order.
        weights: a `.safetensors` file that fits the architecture and the labels.
        files: by name, those of the model folder that decide what answers: the golden set, the int8 network.
        golden, evidence, calibration, costs: what a model folder brings; None where it brings none.
        no_evidence: why it has none, and what gives it some.
        notes: what the user should know of it, a sentence each.
        activations: whether its network is to give them, too.
        many: whether images come in such numbers that all of them count, and not how soon a single one is answered.
    """

    source: str
    architecture: Architecture
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    weights: KnownFile
    files: Mapping[str, KnownFile] = field(default_factory=dict)
    golden: Golden | None = None
    evidence: Evidence | None = None
    calibration: Calibration | None = None
    costs: Costs | None = None
    notes: tuple[str, ...] = ()
    no_evidence: str = "weights without a model folder have none; use a model folder of train_torchvision_resnext"
    activations: bool = False
    many: bool = False

    @property
    def digests(self) -> tuple[str, ...]:
        """Change with whatever decides what answers."""
        return (self.weights.digest, *(f"{name}: {file.digest}" for name, file in sorted(self.files.items())))

    @cached_property
    def state(self) -> "State":
        """The weights as tensors, in the file's precision, on the CPU. Raises: WeightsError."""
        try:
            return self.weights.read(lambda path: read_state(path, self.architecture))
        except WeightFileError as error:
            raise WeightsError(str(error)) from error

    @cached_property
    def classifier(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights C x F and biases C of the last layer, read without torch. Raises: WeightsError."""
        return self.weights.read(read_classifier)

    def network(self, apart: bool = False) -> "Sequential":
        """The network in evaluation mode, which answers as `answering` says. Raises: WeightsError."""
        from ..resnext.network.answering import answering

        return answering(self.architecture.load(self.state), apart, self.activations)


def with_distinct_labels(model: Model) -> Model:
    """The model with labels that differ from the answer `unknown`, and a note for each that did not."""
    labels = distinct_labels(model.labels)
    notes = [
        f"the model's class {old!r} is called {new!r} in all results: {UNKNOWN!r} is the answer that is no class"
        for old, new in zip(model.labels, labels, strict=True)
        if new != old
    ]
    return replace(model, labels=labels, notes=(*model.notes, *notes))
