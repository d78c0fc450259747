"""What the validation images said of a network, as far as promises are made by it.

`trust.safetensors` in a model folder; thresholds for any precision, share or coverage follow from it. It holds numbers
for each image and no image, nor can one be made from it:

- `probability`, float32 N: of the class predicted, calibrated. The class predicted is the most probable one, or the one
  of least expected cost where the folder says what wrong answers cost.
- `true_probability`, float32 N: of the true class, calibrated.
- `predicted`, `target`: int32 N, class indices.
- `known_score`, float32 N: how much the image is like what was learned, by `open_set.KnownFeatures`.
- `feature_mean`, float32 F; `feature_axes`, float32 K x F; `feature_scale`, float32 1: those of training images.
- `input_reference`, float32 M x 13: statistics of the pixels of training images; `input_score`, float32 N: how much the
  image's are like these, by `input_score.InputReference`; `input_moments`, float32 2 x 13: mean and standard deviation
  of the statistics of the validation images. All three or none; models of 2.1 have none.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine.disk import errors_of_the_disk
from ..machine.entries import has_file
from .input_score import STATISTICS, InputReference
from .open_set import KnownFeatures

EVIDENCE = "trust.safetensors"
"""Its name in a model folder."""

MAX_BYTES = 2**28

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]


class EvidenceError(ValueError):
    """The evidence cannot be used; the message names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Evidence:
    """See the module. N is at least 1."""

    probability: Floats
    true_probability: Floats
    predicted: Indices
    target: Indices
    known_score: Floats
    feature_mean: Floats
    feature_axes: Floats
    feature_scale: Floats
    input_reference: Floats | None = None
    input_score: Floats | None = None
    input_moments: Floats | None = None

    def __post_init__(self) -> None:
        problems = [
            self._input_problem(),
            *(self._problem(name, np.float32) for name in ("probability", "true_probability", "known_score")),
            *(self._problem(name, np.int32) for name in ("predicted", "target")),
        ]
        features = (self.feature_mean, self.feature_axes, self.feature_scale)
        shapes = tuple(each.shape for each in features)
        width = self.feature_mean.size
        if shapes != ((width,), (len(self.feature_axes), width), (1,)) or not width:
            problems.append(f"feature_mean, feature_axes, feature_scale: shapes {shapes}, expected (F,), (K, F), (1,)")
        elif not all(each.dtype == np.float32 and np.isfinite(each).all() for each in features):
            problems.append("feature_mean, feature_axes, feature_scale: expected finite float32")
        if found := [problem for problem in problems if problem]:
            raise EvidenceError("; ".join(found))
        for name in ("probability", "true_probability"):
            values = getattr(self, name)
            if values.min() < 0 or values.max() > 1:
                raise EvidenceError(f"{name}: values from {values.min():g} to {values.max():g}, expected 0 to 1")

    def _problem(self, name: str, dtype: type) -> str:
        values = getattr(self, name)
        count = len(self.probability)
        if values.dtype != dtype or values.shape != (count,) or not count:
            return f"{name}: {values.dtype} {values.shape}, expected {np.dtype(dtype)} ({count},), one value an image"
        if not np.isfinite(values).all():
            return f"{name} holds NaN or infinity"
        return ""

    def _input_problem(self) -> str:
        reference, score, moments = self.input_reference, self.input_score, self.input_moments
        if reference is None and score is None and moments is None:
            return ""
        if reference is None or score is None or moments is None:
            return "input_reference, input_score, input_moments: expected all three or none of them"
        shapes, width = (reference.shape, moments.shape), len(STATISTICS)
        if shapes != ((len(reference), width), (2, width)) or not len(reference):
            return f"input_reference, input_moments: shapes {shapes}, expected (M, {width}), (2, {width})"
        if not all(each.dtype == np.float32 and np.isfinite(each).all() for each in (reference, moments)):
            return "input_reference, input_moments: expected finite float32"
        return self._problem("input_score", np.float32)

    @property
    def input_reference_images(self) -> InputReference | None:
        return None if self.input_reference is None else InputReference(self.input_reference)

    @property
    def known_features(self) -> KnownFeatures:
        return KnownFeatures(self.feature_mean, self.feature_axes, float(self.feature_scale[0]))

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """By name, without those that are missing."""
        return {name: values for name, values in vars(self).items() if values is not None}

    @property
    def digest(self) -> str:
        """Tells evidence apart, by all its numbers."""
        found = hashlib.sha256()
        for name, values in self.tensors.items():
            found.update(f"{name} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
        return found.hexdigest()[:16]

    def fits(self, classes: int, features: int) -> None:
        """Raises: EvidenceError, if it is of a network with other classes or features."""
        indices = np.concatenate([self.predicted, self.target])
        if indices.min() < 0 or indices.max() >= classes:
            raise EvidenceError(
                f"class indices from {indices.min()} to {indices.max()}, but there are {classes} classes"
            )
        if len(self.feature_mean) != features:
            raise EvidenceError(
                f"feature_mean has {len(self.feature_mean)} values, but the network has {features} features"
            )


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write the evidence into a (draft of a) model folder. Raises: OSError."""
    from safetensors.numpy import save_file

    with errors_of_the_disk(folder / EVIDENCE):
        save_file({name: np.ascontiguousarray(values) for name, values in evidence.tensors.items()}, folder / EVIDENCE)


def read_evidence(folder: Path) -> Evidence | None:
    """The evidence of a model folder; None if it has none. Raises: EvidenceError."""
    from safetensors.numpy import load_file

    path = folder / EVIDENCE
    if not has_file(path, EvidenceError):
        return None
    remedy = "put back the file that training wrote, or train the model again"
    if path.stat().st_size > MAX_BYTES:
        raise EvidenceError(f"{path} has {path.stat().st_size:,} bytes, at most {MAX_BYTES:,} may be; {remedy}")
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
        return Evidence(
            **{
                name: tensors[name]
                for name, field in Evidence.__dataclass_fields__.items()
                if name in tensors or field.default is not None
            }
        )
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}; {remedy}") from error
    except Exception as error:
        # Damaged files make the reader raise errors of many kinds.
        raise EvidenceError(f"{path} is damaged or no such evidence ({error!r}); {remedy}") from error
