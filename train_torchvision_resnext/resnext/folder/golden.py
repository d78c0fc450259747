"""The golden set of a model folder: crops and the logits that training saw for them.

`golden.safetensors` holds `images`, uint8 N x S x S x 3, RGB, as `Preprocessing.crop` gives them, and `logits`,
float32 N x C, of the network in fp32. Training writes up to 32 validation images; inference measures on them what a
faster configuration costs, and refuses a folder whose logits it cannot reproduce. What logits cannot tell stands in the
file's metadata under `facts`, in JSON: labels, temperature, costs and preprocessing, which the crops have behind them,
and the digest of `trust.safetensors`, null where there was none. A folder whose golden set is left out says nothing of
all this: there, evidence has only to fit the network in classes and features.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine.disk import errors_of_the_disk
from ..machine.entries import has_file
from ..trust.evidence import EVIDENCE
from .names import GOLDEN

MAX_BYTES = 2**30
MAX_IMAGES = 256
"""Training writes 32. Each is run in every configuration that is measured."""

REMEDY = f"train the model again, or delete {GOLDEN} to go without the check"


class GoldenError(ValueError):
    """The golden set cannot be used; the message names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Golden:
    """Crops and what the model says of them.

    Attributes:
        images: RGB, uint8, N x S x S x 3, N at least 1.
        logits: float32, N x C, finite.
        facts: `ModelConfig.facts` of the folder, JSON-ready. Sets made before 2.1 have none; what a set does not say
            may be anything.
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images, logits = self.images, self.logits
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
            raise GoldenError(f"images: {images.dtype} {images.shape}, expected uint8 N x S x S x 3")
        if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != len(images) or not len(logits):
            raise GoldenError(f"logits: {logits.dtype} {logits.shape} for {len(images)} images, expected float32 N x C")
        if not np.isfinite(logits).all():
            raise GoldenError("logits hold NaN or infinity")

    def contradictions(self, facts: Mapping[str, Any]) -> list[str]:
        """What the folder now says otherwise, a sentence each."""
        now = json.loads(json.dumps(facts))
        return [_contradiction(key, now.get(key), known) for key, known in self.facts.items() if now.get(key) != known]


def _require_few(shape: Sequence[int]) -> None:
    """Look at the number of images before any of them is read. Raises: GoldenError."""
    if shape and shape[0] > MAX_IMAGES:
        raise GoldenError(f"images: {shape[0]:,} of them, at most {MAX_IMAGES} may be")


def _contradiction(key: str, now: object, known: object) -> str:
    if key != EVIDENCE:
        return f"{key} is {now!r} in the folder's config.json, but was {known!r} when {GOLDEN} was made"
    if not known:
        return f"{EVIDENCE} is in the folder, but was not when {GOLDEN} was made"
    return f"{EVIDENCE} is {'not what it was' if now else 'missing, but was there'} when {GOLDEN} was made"


def write_golden(folder: Path, golden: Golden) -> None:
    """Write the golden set into a (draft of a) model folder. Raises: OSError."""
    from safetensors.numpy import save_file

    with errors_of_the_disk(folder / GOLDEN):
        arrays: dict[str, NDArray[Any]] = {"images": golden.images, "logits": golden.logits}
        arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        save_file(arrays, folder / GOLDEN, {"facts": json.dumps(golden.facts)})


def read_golden(folder: Path) -> Golden | None:
    """The golden set of a model folder; None if it has none. Raises: GoldenError."""
    from safetensors import safe_open

    path = folder / GOLDEN
    if not has_file(path, GoldenError):
        return None
    if path.stat().st_size > MAX_BYTES:
        raise GoldenError(f"{path} has {path.stat().st_size:,} bytes, at most {MAX_BYTES:,} may be; {REMEDY}")
    try:
        with safe_open(path, "numpy") as file:
            _require_few(file.get_slice("images").get_shape())
            facts = dict(json.loads((file.metadata() or {}).get("facts", "{}")))
            # Copies, because torch warns of arrays that it may not write to.
            return Golden(file.get_tensor("images").copy(), file.get_tensor("logits").copy(), facts)
    except GoldenError as error:
        raise GoldenError(f"{path}: {error}; {REMEDY}") from error
    except Exception as error:
        # Damaged files make the reader raise errors of many kinds.
        raise GoldenError(f"{path} is damaged or no golden set ({error!r}); {REMEDY}") from error
