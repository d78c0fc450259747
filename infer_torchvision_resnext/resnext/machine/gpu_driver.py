"""Whether this machine may have a GPU that torch computes with, without importing torch, which takes seconds."""

import ctypes
import os
from pathlib import Path

AMD = Path("/dev/kfd")
"""There where the driver of AMD's GPUs is, which torch calls cuda, too."""

NVIDIA = ("libcuda.so.1", "nvcuda.dll")


def gpu_is_there(amd: Path = AMD, nvidia: tuple[str, ...] = NVIDIA) -> bool:
    """False only where torch can have no GPU for sure; True may still mean that torch was built without it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return amd.exists() or any(map(_shows_gpus, nvidia))


def _shows_gpus(name: str) -> bool:
    """Whether NVIDIA's driver, under this name, shows a GPU to this process."""
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return bool(driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0)
