"""What this machine and its installation are, found without importing anything heavy."""

import ctypes
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from .runtime import PACKAGES, DeviceError


def has_cuda() -> bool:
    """Whether NVIDIA's driver shows a GPU to this process, asked of the driver itself: torch takes seconds to load."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return False


def processor() -> str:
    """The processor's name and, where the system tells them, its instructions: both decide how a network rounds."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features")
    return " ".join(line for line in text.split("\n\n")[0].splitlines() if line.startswith(wanted))


def versions() -> tuple[str, ...]:
    """Versions of what may compute; empty for what is not installed."""
    return tuple(_version(package) for package in sorted(set(PACKAGES.values())))


def is_installed(runtime: str) -> bool:
    """Whether a runtime's package can be imported."""
    return find_spec(PACKAGES[runtime]) is not None


def require(runtime: str) -> None:
    """Raises: DeviceError, if the runtime's package is not installed."""
    if not is_installed(runtime):
        raise DeviceError(
            f"runtime = {runtime!r}: the package {PACKAGES[runtime]} is not installed; run pip install "
            f"{PACKAGES[runtime]}, or set runtime to auto"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
