"""How the memory of a CPU is kept from slowing training down."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
