"""Which device and number format a machine has for a network: what training and inference ask of it alike."""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


X86 = ("x86_64", "amd64", "i386", "i686")


class DeviceError(ValueError):
    """The device, runtime or precision asked for cannot be used on this machine."""


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
        had = f"it has {count} GPUs, cuda:0 to cuda:{count - 1}" if count else "PyTorch finds no GPU here"
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory: on a GPU by its own error, on the CPU by the allocator's words."""
    import torch

    return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate" in str(error)


@contextmanager
def full_fp32() -> Iterator[None]:
    """Let GPUs compute fp32 convolutions in fp32. torch's default for them is TF32, of ten bits, on every thread."""
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
