"""Which runtime and precision: the fastest that keeps the answers, decided once.

On the first use of a model on a machine, every candidate runs the golden set beside the fp32 reference (`guard.py`).
What was chosen is remembered for this processor, GPU, model and these library versions.
"""

import logging
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from .. import __version__
from ..model.cache import Cache, key_of
from ..model.model import Model
from ..parameters.task import Parameters
from ..resnext.machine.devices import first_line, gpu_identity, gpu_index, processor
from . import packages
from .agreement import Agreement
from .candidates import devices_to_try
from .forking import require_unforked
from .guard import Choice, decide
from .runtime import Configuration, Runtime

logger = logging.getLogger(__name__)


def choose(model: Model, parameters: Parameters, cache: Cache) -> tuple[Runtime, Choice]:
    """Load the model into the fastest runtime that keeps its answers, or into the one that was asked for.

    Raises:
        DeviceError: the device, runtime or precision cannot be used here.
        WeightsError: the weights cannot be read, or do not give the logits of the folder's golden set.
        ValueError: the network's output is not finite.
        ForkedProcessError: networks ran in the process that this one was forked from.
    """
    require_unforked()
    devices, unused = devices_to_try(parameters.device, parameters.runtime)
    wanted = (parameters.runtime, parameters.precision, *devices, parameters.guard_tolerance)
    gpu = () if devices[0] == "cpu" else gpu_identity(gpu_index(devices[0]))
    key = key_of(
        __version__,
        *wanted,
        *model.digests,
        asdict(model.preprocessing),
        processor(),
        *gpu,
        *packages.versions().items(),
    )
    loaded = partial(load, model, threads=parameters.threads, cache=cache)
    if remembered := _read(cache.recall("decisions", key)):
        try:
            runtime = loaded(remembered.configuration)
            return runtime, replace(remembered, passed_over=(*unused, *remembered.passed_over))
        except Exception as error:
            # Whatever has changed since, deciding again says more.
            logger.warning("%s was chosen before, but fails now: %s", remembered.configuration, first_line(error))
    runtime, choice, lasts = decide(model, parameters, devices, loaded)
    if lasts:
        cache.note("decisions", key, _written(choice))
    return runtime, replace(choice, passed_over=(*unused, *choice.passed_over))


def load(model: Model, configuration: Configuration, threads: int, cache: Cache) -> Runtime:
    """Load a model into one runtime. Raises: DeviceError, WeightsError; RuntimeError, where a GPU fails."""
    device = configuration.device
    packages.require(configuration.runtime)
    if configuration.runtime == "openvino":
        from .openvino_runtime import OpenVINORuntime

        return OpenVINORuntime.load(model, configuration.precision, threads, cache)
    if configuration.runtime == "torch_compile":
        from .torch_compile import TorchCompileRuntime

        return TorchCompileRuntime.load(model, device, configuration.precision, threads)
    if configuration.runtime == "onnxruntime":
        from .onnxruntime_runtime import OnnxRuntime

        return OnnxRuntime.load(model, device, configuration.precision, threads, cache)
    if device != "cpu":
        from .cuda_runtime import CudaRuntime

        return CudaRuntime.load(model, device, configuration.precision, threads)
    from .torch_runtime import TorchRuntime

    return TorchRuntime.load(model, device, configuration.precision, threads)


def _written(choice: Choice) -> dict[str, Any]:
    agreement = choice.agreement.to_dict() if choice.agreement else None
    return {"configuration": asdict(choice.configuration), "agreement": agreement, "passed_over": choice.passed_over}


def _read(fact: Any) -> Choice | None:
    try:
        agreement = Agreement(**fact["agreement"]) if fact["agreement"] else None
        return Choice(Configuration(**fact["configuration"]), agreement, tuple(fact.get("passed_over", ())))
    except (TypeError, KeyError):
        return None
