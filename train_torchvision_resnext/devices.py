"""Where training runs and in which number format, and how the memory of a CPU is kept from slowing it down."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class DeviceError(ValueError):
    """The device or precision asked for is not to be had on this machine."""


def resolve_device(device: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` → a device that exists. Raises: DeviceError."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        had = f"it has {count} GPUs, cuda:0 to cuda:{count - 1}" if count else "PyTorch finds no GPU here"
        raise DeviceError(f"device = {device!r}: not on this machine, {had}; set device to auto or cpu")
    return torch.device("cuda", index)


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` → fp32, bf16 or fp16: the quickest that this device computes in. Raises: DeviceError."""
    if precision == "auto":
        return _quickest(device)
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision = 'fp16': needs a GPU, but the device is the CPU; set precision to auto or bf16")
    return precision


def _quickest(device: torch.device) -> str:
    if device.type == "cpu":
        return "bf16" if cpu_computes_bf16() else "fp32"
    # Tensor cores came with compute capability 7.0, those for bf16 with 8.0; bf16 needs no loss scaling.
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):
        return "bf16"
    return "fp16" if capability >= (7, 0) else "fp32"


def cpu_computes_bf16() -> bool:
    """Whether the processor multiplies bf16 matrices itself. Elsewhere it is emulated, and slower than fp32."""
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        # torch has no public name for it before version 2.10.
        if getattr(torch.cpu, question, lambda: False)():
            return True
    return False


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Let glibc keep freed memory while training on a CPU, and give it back afterwards.

    By default it returns each large block to the system at once, and every step pays for its page faults anew.
    """
    libc = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    # Numbers of malloc.h.
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_max, 0)
    try:
        yield
    finally:
        # Setting any of them ends glibc's own adjustment; these are the values at which that would arrive.
        libc.mallopt(mmap_max, 65_536)
        libc.mallopt(mmap_threshold, 32 * 2**20)
        libc.mallopt(trim_threshold, 64 * 2**20)
        libc.malloc_trim(0)
