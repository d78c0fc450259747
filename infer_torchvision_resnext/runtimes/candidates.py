"""What may answer on this machine: devices, runtimes and precisions, the fastest first."""

from ..resnext.machine.devices import (
    DeviceError,
    cpu_computes_bf16,
    gpu_is_there,
    resolve_device,
    resolve_precision,
    unused_accelerators,
    why_no_gpu,
)
from . import packages
from .runtime import QUICK, Configuration

ON_CPU = {"openvino": ("fp32", "bf16", "int8"), "onnxruntime": ("fp32",), "torch": ("fp32", "bf16")}
"""What `auto` may take on a CPU, the fastest first → the precisions that it computes in."""


def devices_to_try(device: str, runtime: str) -> tuple[list[str], list[str]]:
    """Devices to try in turn, and why one that seems to be there is not among them."""
    if device != "auto":
        return [device], []
    if runtime == "openvino":
        return ["cpu"], []
    if not gpu_is_there():
        return ["cpu"], unused_accelerators()
    why = _why_unseen(runtime)
    return (["cpu"], [f"the GPU is not used: {why}"]) if why else (["cuda", "cpu"], [])


def candidates(runtime: str, precision: str, device: str) -> list[Configuration]:
    """What may answer, the fastest first. Raises: DeviceError for what is not installed or contradictory."""
    if runtime != "auto":
        packages.require(runtime)
    if device != "cpu":
        return _on_gpu(runtime, precision, device)
    if runtime != "auto":
        return [Configuration(runtime, each) for each in _on_cpu(runtime, precision)]
    found = [
        Configuration(each, as_precision)
        for each, offered in ON_CPU.items()
        if precision in ("auto", *offered) and packages.is_installed(each)
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
        return [Configuration(runtime, precision, device)]
    if runtime == "onnxruntime":
        # torch, which is asked below, may be built without CUDA.
        return [Configuration(runtime, each, device) for each in (*QUICK, "fp32")]
    fastest = resolve_precision("auto", resolve_device(device), QUICK)
    return [Configuration(runtime, each, device) for each in dict.fromkeys((fastest, "fp32"))]


def _why_unseen(runtime: str) -> str:
    """Why a runtime does not use the GPU that the driver shows: it may be built without CUDA. Empty if it does."""
    if runtime == "onnxruntime":
        packages.require(runtime)
        return (
            ""
            if packages.onnxruntime_offers_gpu()
            else "ONNX Runtime is installed without its CUDA provider; install onnxruntime-gpu"
        )
    import torch

    return "" if torch.cuda.is_available() else why_no_gpu()
