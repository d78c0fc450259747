"""Which runtime and precision: the fastest that keeps the answers.

On the first use of a model on a machine, every candidate runs the golden set beside the fp32 reference. One whose
answers differ too much is refused under `auto`, with its figures in the log, and what was chosen is remembered for
this machine, model and these library versions. A precision that was asked for is measured too, but not refused.
"""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..cache import Cache, key_of
from ..parameters import Parameters
from ..resnext.machine.devices import DeviceError, cpu_computes_bf16, resolve_device, resolve_precision
from ..resnext.machine.gpu_driver import gpu_is_there
from ..resnext.network.inference import softmax
from ..resnext.network.quantization import INT8_FILES
from ..weights import Model, WeightsError
from . import machine
from .agreement import Agreement, generated_images
from .runtime import QUICK, REFERENCE, Configuration, Runtime

logger = logging.getLogger(__name__)

GOLDEN_TOLERANCE = 1e-3
"""Largest change of a probability between training's fp32 and ours: other kernels stay far below, other weights or
normalization far above."""

FP32_TOLERANCE = 1e-3
"""Largest change of a probability in fp32, whatever `guard_tolerance` allows: kernels differ by a thousandth of that, a
wrong epsilon of a batch normalization by more."""

ON_CPU = {"openvino": ("fp32", "bf16", "int8"), "onnxruntime": ("fp32",), "torch": ("fp32", "bf16")}
"""What `auto` may take on a CPU, the fastest first → the precisions that it computes in."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and how near it is to the fp32 reference; None where it is the reference itself."""

    configuration: Configuration
    agreement: Agreement | None

    def notes(self, parameters: Parameters) -> list[str]:
        """What the user should know of it: where another precision answers than the one that was asked for."""
        if parameters.precision in ("auto", self.configuration.precision):
            return []
        return [
            f"precision = {parameters.precision!r}: this processor does not compute in it; answered in "
            f"{self.configuration.precision}"
        ]


def choose(model: Model, parameters: Parameters, cache: Cache) -> tuple[Runtime, Choice]:
    """Load the model into the fastest runtime that keeps its answers, or into the one that was asked for.

    Raises:
        DeviceError: the device, runtime or precision is not to be had here.
        WeightsError: the weights cannot be read, or do not give the logits of the folder's golden set.
        ValueError: the network's output is not finite.
    """
    device = _device(parameters)
    wanted = (parameters.runtime, parameters.precision, device, parameters.guard_tolerance)
    files = (model.file, model.golden_file(), *map(model.part, INT8_FILES))
    facts = (*(cache.digest(file) if file else "" for file in files), asdict(model.preprocessing))
    key = key_of(__version__, *wanted, *facts, machine.processor(), *machine.versions())
    if remembered := _read(cache.recall("decisions", key)):
        try:
            return load(model, remembered.configuration, device, parameters.threads, cache), remembered
        except Exception as error:
            # Whatever has become of it since, deciding anew tells more.
            logger.warning("%s was chosen before, but fails now: %s", remembered.configuration, error)
    runtime, choice = _decide(model, parameters, device, cache)
    cache.note("decisions", key, _written(choice))
    return runtime, choice


def load(model: Model, configuration: Configuration, device: str, threads: int, cache: Cache) -> Runtime:
    """Load a model into one runtime. Raises: DeviceError, WeightsError."""
    machine.require(configuration.runtime)
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


def candidates(runtime: str, precision: str, device: str) -> list[Configuration]:
    """What may answer, the fastest first. Raises: DeviceError for what is not installed or contradictory."""
    if runtime != "auto":
        machine.require(runtime)
    if device != "cpu":
        return _on_gpu(runtime, precision, device)
    if runtime != "auto":
        return [Configuration(runtime, each) for each in _on_cpu(runtime, precision)]
    found = [
        Configuration(each, as_precision)
        for each, offered in ON_CPU.items()
        if precision in ("auto", *offered) and machine.is_installed(each)
        for as_precision in _on_cpu(each, precision)
    ]
    # Where nothing computes in the precision, torch says what is missing.
    return found or [Configuration("torch", precision)]


def _on_cpu(runtime: str, precision: str) -> list[str]:
    """Precisions to try, the fastest first."""
    if precision != "auto":
        return [precision]
    return ["bf16", "fp32"] if runtime == "openvino" and cpu_computes_bf16() else ["fp32"]


def _on_gpu(runtime: str, precision: str, device: str) -> list[Configuration]:
    if runtime == "openvino":
        raise DeviceError(f"runtime = 'openvino': runs on the CPU only, but device = {device!r}; set device to cpu")
    runtime = "torch" if runtime == "auto" else runtime
    if precision != "auto":
        return [Configuration(runtime, precision)]
    if runtime == "onnxruntime":
        # torch, which is asked below, may be built without CUDA.
        return [Configuration(runtime, each) for each in (*QUICK, "fp32")]
    fastest = resolve_precision("auto", resolve_device(device), QUICK)
    return [Configuration(runtime, each) for each in dict.fromkeys((fastest, "fp32"))]


def _device(parameters: Parameters) -> str:
    if parameters.device != "auto":
        return parameters.device
    return "cuda" if gpu_is_there() and _sees_gpu(parameters.runtime) else "cpu"


def _sees_gpu(runtime: str) -> bool:
    """Whether a runtime can use the GPU that the driver shows: it may be built without CUDA."""
    if runtime == "openvino":
        return False
    if runtime == "onnxruntime":
        machine.require(runtime)
        from .onnxruntime_runtime import offers_gpu

        return offers_gpu()
    import torch

    return torch.cuda.is_available()


def _decide(model: Model, parameters: Parameters, device: str, cache: Cache) -> tuple[Runtime, Choice]:
    found = candidates(parameters.runtime, parameters.precision, device)
    if found == [REFERENCE] and device == "cpu" and not model.golden_file():
        return load(model, REFERENCE, device, parameters.threads, cache), Choice(REFERENCE, None)
    refused: list[tuple[Runtime, Choice]] = []
    images, expected, golden, reference = _reference(model, parameters, cache)
    for asked in found:
        if asked == REFERENCE and device == "cpu":
            return reference, Choice(REFERENCE, None)
        try:
            runtime = load(model, asked, device, parameters.threads, cache)
            agreement = Agreement.of(runtime.run(images), expected, golden)
        except (ImportError, RuntimeError, ValueError) as error:
            if len(found) == 1:
                raise
            logger.warning("%s refused for %s: %s", asked, model.source, error)
            continue
        # What was compiled may be less than what was asked for.
        configuration = replace(asked, precision=runtime.describe()["precision"])
        tolerance = parameters.guard_tolerance
        if agreement.within(min(tolerance, FP32_TOLERANCE) if configuration.precision == "fp32" else tolerance):
            logger.info("%s for %s: %s", configuration, model.source, agreement)
            return runtime, Choice(configuration, agreement)
        refused.append((runtime, Choice(configuration, agreement)))
        logger.warning("%s changes answers of %s: %s", configuration, model.source, agreement)
    if parameters.precision != "auto" and refused:
        logger.warning("%s is taken in spite of this, for its precision was asked for", refused[0][1].configuration)
        return refused[0]
    figures = "; ".join(f"{choice.configuration}: {choice.agreement}" for _, choice in refused)
    raise DeviceError(
        f"runtime = {parameters.runtime!r}, precision = {parameters.precision!r}: no configuration keeps the answers "
        f"within guard_tolerance = {parameters.guard_tolerance:g} ({figures or 'all failed, see the log'}); "
        "raise it, set runtime to torch, or set the precision that you want in spite of this"
    )


def _reference(
    model: Model, parameters: Parameters, cache: Cache
) -> tuple[NDArray[np.uint8], NDArray[np.float32], bool, Runtime]:
    """Images, the logits that they should give, whether both are the model folder's own, and the fp32 reference."""
    golden = model.golden()
    runtime = load(model, REFERENCE, "cpu", parameters.threads, cache)
    images = golden.images if golden else generated_images(model.preprocessing.crop_size)
    # Image by image: few at a time are fastest on a CPU, and need the least memory.
    logits = np.concatenate([runtime.run(image[None]) for image in images])
    softmax(logits)  # refuses what is not finite, which no other configuration can better
    if golden is None:
        return images, logits, False, runtime
    if golden.logits.shape != logits.shape:
        raise WeightsError(
            f"{model.golden_file()} has logits of shape {golden.logits.shape}, the model gives {logits.shape}: the "
            "folder's parts are of different models; train it again"
        )
    agreement = Agreement.of(logits, golden.logits, golden=True)
    if not agreement.within(GOLDEN_TOLERANCE):
        raise WeightsError(
            f"{model.source} does not give in fp32 what training saw: {agreement}, allowed is {GOLDEN_TOLERANCE:g}. "
            "Weights, mean or std differ from those in training: train the model again, or fetch the folder anew"
        )
    return images, golden.logits, True, runtime


def _written(choice: Choice) -> dict[str, Any]:
    agreement = choice.agreement.to_dict() if choice.agreement else None
    return {"configuration": asdict(choice.configuration), "agreement": agreement}


def _read(fact: Any) -> Choice | None:
    try:
        agreement = Agreement(**fact["agreement"]) if fact["agreement"] else None
        return Choice(Configuration(**fact["configuration"]), agreement)
    except (TypeError, KeyError):
        return None
