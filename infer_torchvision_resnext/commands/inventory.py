"""What this machine has to run networks with: lines of a report, without names of users."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from ..resnext.folder.weight_files import hub_folder
from ..resnext.machine.devices import (
    cpu_computes_bf16,
    gpu_identity,
    gpu_is_there,
    processor,
    unused_accelerators,
    why_no_gpu,
)
from ..resnext.machine.telemetry import without_telemetry
from ..resnext.machine.threads import core_count
from ..runtimes import packages

LIMITS = ("OV_CPU_MAX_ISA", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
"""Variables of the environment that take something away from a machine."""

FORMATS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
"""Instructions that decide which number formats are quick, as Linux names them."""

SHARED = ("ikomia", "torchvision", "numpy", "pillow", "safetensors", "pydantic")
"""Packages beside those that compute."""


def inventory() -> Iterator[tuple[str, str]]:
    """What is asked → what there is, in the order in which it is to be read."""
    yield "plugin", f"{__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "processor", _processor()
    if limits := [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]:
        yield "limited by the environment", ", ".join(limits)
    yield "torch", _torch()
    yield "GPU", _gpus()
    yield "OpenVINO", _openvino()
    yield "ONNX Runtime", _onnxruntime()
    yield "packages", _packages()
    yield "weights in torch hub's cache", _weights()
    yield "room on the disk", f"{shutil.disk_usage(Path.home()).free / 2**30:.0f} GB"


def without_home(text: str) -> str:
    """The text with the home as `~`: a report is shown to others."""
    return text.replace(str(Path.home()), "~")


def _processor() -> str:
    words = processor().split()
    name = platform.processor() or platform.machine()
    if "name" in words and "flags" in words:
        name = " ".join(words[words.index("name") + 1 : words.index("flags")]).lstrip(": ")
    return (
        f"{name}, {core_count(0)} cores, has {', '.join(each for each in FORMATS if each in words) or 'nothing known'}"
    )


def _torch() -> str:
    import torch

    computes = "in it" if cpu_computes_bf16() else "not in it"
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    built = built if torch.version.cuda or torch.version.hip else "no GPU"
    uses = torch.backends.cpu.get_cpu_capability()
    return f"{torch.__version__}, built for {built}; on the CPU uses {uses}, bf16: computes {computes}"


def _gpus() -> str:
    import torch

    if not gpu_is_there():
        return "; ".join(["no driver shows one", *unused_accelerators()])
    if not torch.cuda.is_available():
        return f"{' '.join(gpu_identity(0)) or 'there'}, but not used: {why_no_gpu()}"
    found = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        memory, capability = f"{card.total_memory / 2**30:.0f} GB", f"compute capability {card.major}.{card.minor}"
        found.append(f"cuda:{index} {card.name}, {memory}, {capability}, driver {gpu_identity(index)[-1]}")
    libraries = f"cuDNN {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]
    return "; ".join([*found, libraries])


def _openvino() -> str:
    if not packages.is_installed("openvino"):
        return "not installed"
    with without_telemetry():
        import openvino as ov

    core = ov.Core()
    devices = (f"{name} ({core.get_property(name, 'FULL_DEVICE_NAME')})" for name in core.available_devices)
    formats = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    quick = [name for name in ("FP32", "BF16", "FP16", "INT8") if name in formats]
    return f"devices {', '.join(devices)}; the CPU computes in {', '.join(quick)}; the plugin uses the CPU"


def _onnxruntime() -> str:
    if not packages.is_installed("onnxruntime"):
        return "not installed, or onnx is not"
    import onnxruntime

    return f"providers {', '.join(onnxruntime.get_available_providers())}"


def _packages() -> str:
    known = packages.versions() | {package: packages.version_of(package) for package in SHARED}
    return ", ".join(f"{name} {number}" for name, number in known.items() if number)


def _weights() -> str:
    folder = hub_folder()
    files = sorted(path.name for path in folder.glob("resne*")) if folder.is_dir() else []
    return without_home(f"{folder}: {', '.join(files) or 'none'}")
