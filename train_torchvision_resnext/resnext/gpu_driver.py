"""Whether this machine may have a GPU, without importing torch, which takes seconds."""

import os
from collections.abc import Iterable
from pathlib import Path

DRIVERS = (
    "/dev/nvidiactl",  # NVIDIA on Linux
    "/dev/nvhost-gpu",  # NVIDIA's small boards
    "/dev/dxg",  # Windows' own, seen from its Linux
    "/dev/kfd",  # AMD, which torch calls cuda too
    r"C:\Windows\System32\nvcuda.dll",
)
"""What is there only where a driver is that torch can compute with."""


def gpu_driver_is_there(drivers: Iterable[str] = DRIVERS) -> bool:
    """False only where torch can have no GPU for sure; True may still mean that torch was built without it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(driver).exists() for driver in drivers)
