"""What training needs of torch that counts for the whole process, which other tasks of the workflow share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from ..resnext.machine.devices import full_fp32

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


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
