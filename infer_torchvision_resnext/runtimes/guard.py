"""Speed must not change an answer: what may answer runs beside the fp32 reference first.

A precision that was asked for is measured too, but not refused. Where the device is left to `auto`, whatever is wrong
with a GPU leaves the work to the CPU, and a note says why.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..model.model import Model, WeightsError
from ..parameters.task import Parameters
from ..resnext.folder.names import GOLDEN
from ..resnext.machine.devices import DeviceError, OutOfMemoryError, first_line
from ..resnext.network.outputs import softmax
from .agreement import FP32_TOLERANCE, Agreement, answers, generated_images
from .candidates import candidates
from .runtime import REFERENCE, Configuration, Runtime

logger = logging.getLogger(__name__)

Load = Callable[[Configuration], Runtime]
"""Loads a model so. Raises: DeviceError, WeightsError; RuntimeError, where a GPU fails."""

GOLDEN_TOLERANCE = 1e-3
"""Largest change of a probability between training's fp32 and ours: other kernels stay far below, other weights or
normalization far above."""

REMEDY = "python -m infer_torchvision_resnext doctor, in Ikomia's folder Plugins/Python, says what to install"

LASTING = "no kernel image is available"
"""CUDA's words where torch was not built for a GPU: as true tomorrow, unlike a full memory or a GPU that has hung."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        agreement: how near it is to the fp32 reference; None where it is the reference itself.
        passed_over: why what `auto` would rather have taken did not answer, a sentence each.
    """

    configuration: Configuration
    agreement: Agreement | None
    passed_over: tuple[str, ...] = ()

    def notes(self, parameters: Parameters) -> list[str]:
        """What the user should know of it: where another device or precision answers than one would expect."""
        if parameters.precision in ("auto", self.configuration.precision):
            return [*self.passed_over]
        return [
            *self.passed_over,
            f"precision = {parameters.precision!r}: this processor does not compute in it; answered in "
            f"{self.configuration.precision}",
        ]


def decide(model: Model, parameters: Parameters, devices: Sequence[str], load: Load) -> tuple[Runtime, Choice, bool]:
    """Load the fastest of what may answer that keeps the answers.

    Args:
        devices: to try in turn; the last must answer.
        load: loads the model.

    Returns:
        The runtime, what was chosen, and whether it would be chosen again.

    Raises:
        DeviceError: the device, runtime or precision cannot be used here.
        WeightsError: the weights cannot be read, or do not give the logits of the folder's golden set.
        ValueError: the network's output is not finite.
        RuntimeError: what was asked for fails.
    """
    asked = (parameters.runtime, parameters.precision)
    if [*devices] == ["cpu"] and candidates(*asked, "cpu") == [REFERENCE] and not model.golden:
        return load(REFERENCE), Choice(REFERENCE, None), True
    guard = _Guard(model, parameters, load)
    for device in devices:
        if found := guard.fastest_on(device, alone=len(devices) == 1):
            runtime, choice = found
            return runtime, replace(choice, passed_over=guard.passed_over(choice.configuration)), guard.lasts
    figures = "; ".join(f"{configuration}: {why}" for configuration, why in guard.refused.items())
    raise DeviceError(
        f"runtime = {asked[0]!r}, precision = {asked[1]!r}: no configuration keeps the answers within guard_tolerance "
        f"= {parameters.guard_tolerance:g} ({figures}); raise it, set runtime to torch, or set the precision that you "
        "want in spite of this"
    )


class _Guard:
    """Compares with the reference.

    Raises:
        WeightsError: the reference does not give the logits of the folder's golden set.
    """

    def __init__(self, model: Model, parameters: Parameters, load: Load) -> None:
        self._model, self._parameters, self._load = model, parameters, load
        self._reference = load(REFERENCE)
        golden = model.golden
        self._images = golden.images if golden else generated_images(model.preprocessing.crop_size)
        # Image by image: few at a time are fastest on a CPU, and need the least memory.
        self._classes = len(model.labels)
        rows = np.concatenate([self._reference.run(image[None]) for image in self._images])
        self._expected = rows[:, : self._classes]
        softmax(self._expected)  # refuses what is not finite, which no other configuration can better
        if golden:
            _check(model, self._expected, golden.logits)
            self._expected = golden.logits
        self.refused: dict[Configuration, str] = {}
        """What was tried in vain, and why."""
        self._failed: set[Configuration] = set()
        """Refused configurations that failed with an error, rather than changed answers."""
        self.lasts = True

    def fastest_on(self, device: str, alone: bool) -> tuple[Runtime, Choice] | None:
        """The fastest that keeps the answers, or has the precision that was asked for; None, if there is none.

        Args:
            alone: nothing else is left, so that what goes wrong with a single candidate is raised.
        """
        parameters = self._parameters
        in_spite: tuple[Runtime, Choice] | None = None
        try:
            found = candidates(parameters.runtime, parameters.precision, device)
        except (DeviceError, RuntimeError) as error:
            if alone:
                raise
            self._refuse(Configuration(parameters.runtime, parameters.precision, device), error)
            return None
        for asked in found:
            if asked == REFERENCE:
                return self._reference, Choice(REFERENCE, None)
            tried = None  # gives back the memory of the one before
            try:
                tried = self._tried(asked)
            except (ImportError, RuntimeError, ValueError) as error:
                if alone and len(found) == 1:
                    raise
                self._refuse(asked, error)
                continue
            if self._keeps_answers(tried[1]):
                return tried
            if parameters.precision != "auto" and not in_spite:
                in_spite = tried
        if in_spite:
            logger.warning("%s is taken in spite of this, for its precision was asked for", in_spite[1].configuration)
        return in_spite

    def passed_over(self, taken: Configuration) -> tuple[str, ...]:
        """Why another device or another runtime, which `auto` prefers to what it took, does not answer.

        A precision that changes answers is left out where the same runtime answers in another: that is what the guard
        is for.
        """
        gpu: dict[str, None] = {}
        runtimes: dict[str, str] = {}
        for refused, why in self.refused.items():
            if refused.device != taken.device:
                gpu[why] = None
            elif refused.runtime != taken.runtime:
                runtimes[refused.runtime] = why
            elif refused in self._failed:
                runtimes[str(refused)] = why
        notes = [f"the GPU is not used: {'; '.join(gpu)}"] if gpu else []
        notes += [f"{name} is not used, {taken} answers instead: {why}; {REMEDY}" for name, why in runtimes.items()]
        return tuple(notes)

    def _tried(self, asked: Configuration) -> tuple[Runtime, Choice]:
        runtime = self._load(asked)
        logits = answers(runtime, self._images, self._model.preprocessing)[:, : self._classes]
        # What was compiled may be less than what was asked for.
        configuration = replace(asked, precision=runtime.describe()["precision"])
        return runtime, Choice(configuration, Agreement.of(logits, self._expected, self._model.golden is not None))

    def _keeps_answers(self, choice: Choice) -> bool:
        configuration, agreement, tolerance = choice.configuration, choice.agreement, self._parameters.guard_tolerance
        within = min(tolerance, FP32_TOLERANCE) if configuration.precision == "fp32" else tolerance
        if agreement and agreement.within(within):
            logger.info("%s for %s: %s", configuration, self._model.source, agreement)
            return True
        logger.warning("%s changes answers of %s: %s", configuration, self._model.source, agreement)
        self.refused[configuration] = str(agreement)
        return False

    def _refuse(self, asked: Configuration, error: Exception) -> None:
        logger.warning("%s refused for %s: %s", asked, self._model.source, first_line(error))
        logger.debug("the whole error", exc_info=error)
        self.refused[asked] = first_line(error)
        self._failed.add(asked)
        if isinstance(error, OutOfMemoryError) or (asked.device != "cpu" and LASTING not in str(error)):
            self.lasts = False


def _check(model: Model, logits: NDArray[np.float32], golden: NDArray[np.float32]) -> None:
    """Raises: WeightsError, if the model does not give in fp32 what training saw."""
    if golden.shape != logits.shape:
        raise WeightsError(
            f"{GOLDEN} of {model.source} has logits of shape {golden.shape}, the model gives {logits.shape}: the "
            "folder's parts are of different models; train it again"
        )
    agreement = Agreement.of(logits, golden, golden=True)
    if not agreement.within(GOLDEN_TOLERANCE):
        raise WeightsError(
            f"{model.source} does not give in fp32 what training saw: {agreement}, allowed is {GOLDEN_TOLERANCE:g}. "
            "The weights are not those of the training, or, in a folder older than 2.1, mean or std: train the model "
            "again, or fetch the folder again"
        )
