"""A temperature that makes probabilities hold: of the answers given with 80 %, four in five are right.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. One number divides all logits, so that no answer
changes, only how sure it is.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..network.outputs import softmax

BINS = 15
MOST = 20.0
"""The largest temperature, and the inverse of the least."""

FEWEST_IMAGES = 100
"""To fit a temperature. With fewer, chance decides whether it grows or shrinks."""

Logits = NDArray[np.float32]
"""N x C."""

Probabilities = NDArray[np.float64]
"""N x C, in [0, 1]."""

Targets = NDArray[np.int64]
"""N class indices in 0..C-1."""


@dataclass(frozen=True)
class Bin:
    """Answers that were about equally sure.

    Attributes:
        images: how many.
        confidence: mean probability of the best class, in [0, 1].
        accuracy: fraction of right answers.
    """

    images: int
    confidence: float
    accuracy: float


class Calibration(BaseModel):
    """A temperature and what it is worth; under `resnext.calibration` in a model folder's `config.json`.

    Attributes:
        temperature: logits are divided by it; 1 = left as they are.
        images: it was fitted on.
        ece_before: expected calibration error of the probabilities as they were, in [0, 1].
        ece_after: of the calibrated ones, each of them with a temperature fitted on the other half of the images.
        loss_before: mean cross-entropy in nats.
        loss_after: as `ece_after`.
        reason: why the temperature is 1; empty where it was fitted.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)
    temperature: Annotated[float, Field(ge=1 / MOST, le=MOST)]
    images: Annotated[int, Field(ge=1)]
    ece_before: Annotated[float, Field(ge=0, le=1)]
    ece_after: Annotated[float, Field(ge=0, le=1)]
    loss_before: Annotated[float, Field(ge=0)]
    loss_after: Annotated[float, Field(ge=0)]
    reason: str = ""


def calibrated(logits: Logits, temperature: float) -> Probabilities:
    """N x C logits → N x C probabilities. Raises: ValueError for NaN or infinity."""
    return softmax(logits / np.float32(temperature))


def calibrate(logits: Logits, targets: Targets, seed: int = 0) -> Calibration:
    """Fit a temperature on images that had no part in learning, and judge it on such that had no part in fitting it.

    The judgment is a twofold cross-validation; the temperature itself is that of all images.

    Args:
        seed: of the split into halves.
    """
    count = len(targets)
    before = softmax(logits)
    measured = expected_calibration_error(before, targets), cross_entropy(before, targets)

    def outcome(temperature: float, after: tuple[float, float], reason: str = "") -> Calibration:
        return Calibration(
            temperature=temperature,
            images=count,
            ece_before=measured[0],
            ece_after=after[0],
            loss_before=measured[1],
            loss_after=after[1],
            reason=reason,
        )

    if count < FEWEST_IMAGES:
        reason = f"{count} validation images are too few to fit a temperature: it takes {FEWEST_IMAGES}"
        return outcome(1.0, measured, reason)
    order = np.random.default_rng(seed).permutation(count)
    halves = order[: count // 2], order[count // 2 :]
    after = np.empty_like(before)
    for fitted, judged in (halves, halves[::-1]):
        temperature = fit_temperature(logits[fitted], targets[fitted], _prior(len(fitted)))
        after[judged] = calibrated(logits[judged], temperature)
    held = expected_calibration_error(after, targets), cross_entropy(after, targets)
    if held[1] > measured[1]:
        return outcome(1.0, measured, "a temperature fitted on half of the validation images raises the others' loss")
    return outcome(fit_temperature(logits, targets, _prior(count)), held)


def fit_temperature(logits: Logits, targets: Targets, smoothing: float = 0.0) -> float:
    """The temperature of the least cross-entropy, from 1/20 to 20.

    Args:
        smoothing: share of each target that goes to all classes alike. Without it, the best temperature for answers
            that are all right would be 0.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    wanted = (1 - smoothing) * np.take_along_axis(shifted, targets[:, None], 1)[:, 0] + smoothing * shifted.mean(axis=1)

    def slope(inverse: float) -> float:
        """Of the cross-entropy, by the inverse temperature; it grows steadily, for the cross-entropy is convex."""
        weights = np.exp(shifted * inverse)
        expected = (weights * shifted).sum(axis=1) / weights.sum(axis=1)
        return float((expected - wanted).mean())

    low, high = 1 / MOST, MOST
    if slope(low) >= 0:
        return MOST
    if slope(high) <= 0:
        return 1 / MOST
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def _prior(images: int) -> float:
    """One image in so many may be wrong though none was; Platt, "Probabilistic outputs for SVMs", 1999."""
    return 1 / (images + 2)


def cross_entropy(probabilities: Probabilities, targets: Targets) -> float:
    """Mean negative logarithm of the true class's probability, in nats."""
    true = np.take_along_axis(probabilities, targets[:, None], 1)
    return float(-np.log(true.clip(min=np.finfo(np.float64).tiny)).mean())


def reliability(probabilities: Probabilities, targets: Targets, bins: int = BINS) -> tuple[Bin, ...]:
    """Answers gathered by how sure they are, in equal steps from 0 to 1; steps without answers are left out."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return tuple(
        Bin(int(here.sum()), float(confidence[here].mean()), float(right[here].mean()))
        for here in (place == step for step in range(bins))
        if here.any()
    )


def expected_calibration_error(probabilities: Probabilities, targets: Targets, bins: int = BINS) -> float:
    """Mean distance between how sure answers are and how often they are right, in [0, 1].

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    found = reliability(probabilities, targets, bins)
    return sum(each.images * abs(each.confidence - each.accuracy) for each in found) / len(targets)
