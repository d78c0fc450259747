"""Which devices and number formats a machine has for a network: what training, inference and the forms ask of it alike.

What a form or a warm start asks (`gpu_is_there`, `gpu_identity`, `unused_accelerators`) imports no torch, which takes
seconds, unless an AMD GPU must be asked for its name.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


X86 = ("x86_64", "amd64", "i386", "i686")

AMD = Path("/dev/kfd")
"""There where the driver of AMD's GPUs is, which torch calls cuda, too."""

NVIDIA = ("libcuda.so.1", "nvcuda.dll")

MAJOR, MINOR = 75, 76
"""The driver's numbers for the two parts of a compute capability."""

NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate",
    "out of memory",
    "_STATUS_ALLOC_FAILED",
    "Failed to allocate",
    "is smaller than requested bytes",
    "bad_alloc",
)
"""Words of errors after which a smaller batch may succeed: of torch, CUDA and its libraries, OpenVINO, ONNX Runtime and
C++. Of all these only `torch.cuda.OutOfMemoryError` has a class of its own."""


class OutOfMemoryError(RuntimeError):
    """The memory of the device does not suffice; a smaller batch may succeed."""


class DeviceError(ValueError):
    """The device, runtime or precision asked for cannot be used on this machine."""


def gpu_is_there(amd: Path = AMD, nvidia: Sequence[str] = NVIDIA) -> bool:
    """False only where torch can have no GPU for sure; True may still mean that torch was built without it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return amd.exists() or _nvidia_gpus(nvidia)[1] > 0


def gpu_identity(index: int, nvidia: Sequence[str] = NVIDIA) -> tuple[str, ...]:
    """What a GPU is, as far as it decides how a network rounds and how quick it is: name, capability and driver."""
    driver, count = _nvidia_gpus(nvidia)
    if driver is None or index >= count:
        import torch

        return (torch.cuda.get_device_name(index),) if index < torch.cuda.device_count() else ()
    device, name, value = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    known = [name.value.decode(errors="replace")]
    for attribute in (MAJOR, MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        known.append(str(value.value))
    driver.cuDriverGetVersion(ctypes.byref(value))
    return (*known, str(value.value))


def unused_accelerators() -> list[str]:
    """Accelerators that are here and that torch could use, but these plugins do not; a sentence each."""
    unused = []
    if sys.platform == "darwin" and platform.machine() == "arm64":
        unused.append("Apple's")
    with suppress(PackageNotFoundError):
        unused += ["Intel's"] if "+xpu" in version("torch") else []
    return [f"{maker} GPU is not used: the plugin computes on NVIDIA's and AMD's, and on the CPU" for maker in unused]


def why_no_gpu(amd: Path = AMD) -> str:
    """Why torch computes on no GPU."""
    import torch

    if torch.version.hip is None and (amd.exists() and not _nvidia_gpus(NVIDIA)[1]):
        return "AMD's GPUs need PyTorch's build for ROCm; see pytorch.org"
    if torch.version.hip is None and torch.version.cuda is None:
        return (
            f"PyTorch {torch.__version__} is built without CUDA; install the build that pytorch.org names for the GPU"
        )
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "PyTorch is shown no GPU"


def first_line(error: BaseException) -> str:
    """What happened; CUDA's errors go on for lines, MLflow's for pages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _nvidia_gpus(names: Sequence[str]) -> tuple[ctypes.CDLL | None, int]:
    """NVIDIA's driver, which is one of these libraries, and how many GPUs it shows to this process."""
    for name in names:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return driver, count.value
    return None, 0


def processor() -> str:
    """The processor's name and, where the system tells them, its instructions: both decide how a network rounds."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features")
    return " ".join(line for line in text.split("\n\n")[0].splitlines() if line.startswith(wanted))


def resolve_device(device: str) -> "torch.device":
    """`auto`, `cpu`, `cuda` or `cuda:N` → a device that exists. Raises: DeviceError."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = gpu_index(device)
    if index >= count:
        had = (
            f"it has {count} GPUs, cuda:0 to cuda:{count - 1}"
            if count
            else f"PyTorch finds no GPU here: {why_no_gpu()}"
        )
        raise DeviceError(f"device = {device!r}: not on this machine, {had}; set device to auto or cpu")
    return torch.device("cuda", index)


def gpu_index(device: str) -> int:
    """`cuda` or `cuda:N` → the GPU's number, 0 if none is given."""
    return int(device.partition(":")[2] or 0)


def resolve_precision(precision: str, device: "torch.device", preferred: Sequence[str]) -> str:
    """`auto` → the first of `preferred` that this device computes in natively, or else fp32. Raises: DeviceError."""
    if precision == "auto":
        native = quick_formats(device)
        return next((each for each in preferred if each in native), "fp32")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision = 'fp16': needs a GPU, but the device is the CPU; set precision to auto or bf16")
    return precision


def quick_formats(device: "torch.device") -> tuple[str, ...]:
    """The 16-bit formats that a device multiplies matrices in itself, of `bf16` and `fp16`."""
    import torch

    if device.type == "cpu":
        return ("bf16",) if cpu_computes_bf16() else ()
    # Tensor cores came with compute capability 7.0, those for bf16 with 8.0.
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):
        return ("bf16", "fp16")
    return ("fp16",) if capability >= (7, 0) else ()


def cpu_computes_bf16() -> bool:
    """Whether torch multiplies bf16 matrices in the processor itself. Elsewhere it emulates them, slower than fp32."""
    import torch

    # Knows ARM's instructions, and the limits that are set for oneDNN in the environment.
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # On x86 it is content with AVX512, by which bf16 can be emulated. torch has no public name for this before 2.10.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return platform.machine().lower() not in X86 or any(
        getattr(torch.cpu, question, lambda: False)() for question in questions
    )


def cannot_compile(error: BaseException) -> str:
    """Why PyTorch's compiler failed, and what it needs; a way to do without it may follow."""
    return f"PyTorch cannot compile here ({first_line(error)}); install a C++ compiler, for a GPU Triton too"


@contextmanager
def memory_watched() -> Iterator[None]:
    """Within, a library that runs out of memory, on a GPU or on the CPU, raises OutOfMemoryError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        lines = [line for line in str(error).splitlines() if any(words in line for words in NO_MEMORY)]
        if lines or isinstance(error, MemoryError):
            raise OutOfMemoryError(lines[0] if lines else first_line(error)) from error
        raise


@contextmanager
def full_fp32() -> Iterator[None]:
    """Have fp32 computed in fp32. torch's default for convolutions on GPUs is TF32, of ten bits; others may set more.

    It holds for every thread. Since torch 2.9 there is a switch for each kind of operation, which takes the value of a
    common one unless it has its own. The older switch of cuDNN, which torch's compiler and exporter read, raises where
    those differ from it, so that it is set as well.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    older = _older_switch(cudnn)
    cudnn_kinds, mkldnn_kinds = _kinds(cudnn), _kinds(torch.backends.mkldnn)
    kinds = [*cudnn_kinds, *mkldnn_kinds, matmul] if cudnn_kinds else []
    before = [kind.fp32_precision for kind in kinds]
    matmul_before = None if kinds else matmul.allow_tf32
    cudnn.allow_tf32 = False
    if not kinds:
        matmul.allow_tf32 = False
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        if older is not None:
            cudnn.allow_tf32 = older
        if not kinds:
            matmul.allow_tf32 = matmul_before
        for kind, precision in zip(kinds, before, strict=True):
            # What follows the common switch goes on following it.
            kind.fp32_precision = "none"
            if kind.fp32_precision != precision:
                kind.fp32_precision = precision


def _kinds(library: Any) -> list[Any]:
    """A library's kinds of operations that have a switch of their own; none before torch 2.9."""
    return [getattr(library, kind) for kind in ("conv", "rnn", "matmul") if hasattr(library, kind)]


def _older_switch(cudnn: Any) -> bool | None:
    """None where it cannot be read, because newer ones were set apart from it."""
    try:
        return bool(cudnn.allow_tf32)
    except RuntimeError:
        return None
