"""What training changes for the whole process, which other tasks of the workflow share, and puts back."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from ..resnext.machine.devices import full_fp32
from ..resnext.machine.threads import fixed_threads

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def cpu_settings(device: torch.device, threads: int) -> Iterator[None]:
    """So many threads for torch's operations on a CPU, and what there was before afterwards; 0 = as they are.

    Teams of threads stay whole, and on a CPU freed memory is kept.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with fixed_threads(), _kept_memory(device):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def process_settings(device: torch.device, precision: str, deterministic: bool) -> Iterator[None]:
    """Set the current GPU, its precision and its choice of kernels, and put all of it back afterwards.

    Without these, `fp32` would be TF32 in convolutions, and pinned memory and streams would be the first GPU's.
    """
    on_gpu = device.type == "cuda"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(CUBLAS)
    try:
        if deterministic:
            torch.use_deterministic_algorithms(True)
            # One of the two that cuBLAS is reproducible with: NVIDIA, cuBLAS, "Results Reproducibility".
            os.environ[CUBLAS] = ":4096:8"
        torch.backends.cudnn.benchmark = on_gpu and not deterministic
        with (
            torch.cuda.device(device) if on_gpu else nullcontext(),
            full_fp32() if precision == "fp32" else nullcontext(),
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop(CUBLAS, None)
        else:
            os.environ[CUBLAS] = workspace


@contextmanager
def _kept_memory(device: torch.device) -> Iterator[None]:
    """Let glibc keep freed memory while training on a CPU, and give it back afterwards.

    By default it returns each large block to the system at once, and every step pays for its page faults again.
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
