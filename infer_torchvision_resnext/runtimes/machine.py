"""What this machine and its installation are, found without importing anything heavy."""

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ..resnext.machine.devices import DeviceError
from .runtime import PACKAGES

GPU_PACKAGES = {"onnxruntime": "onnxruntime-gpu"}
"""Packages → what is installed in their place to compute on a GPU; both are imported by the same name."""


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
    packages = {package for needed in PACKAGES.values() for package in needed}
    return tuple(_version(package) for package in sorted({*packages, *(GPU_PACKAGES.values())}))


def is_installed(runtime: str) -> bool:
    """Whether a runtime's packages can be imported."""
    return not _missing(runtime)


def require(runtime: str) -> None:
    """Raises: DeviceError, if a package of the runtime is not installed."""
    if missing := _missing(runtime):
        what = f"package {missing[0]} is" if len(missing) == 1 else f"packages {' and '.join(missing)} are"
        on_gpu = [GPU_PACKAGES.get(package, package) for package in missing]
        gpu = f" (for a GPU, {' '.join(on_gpu)})" if on_gpu != missing else ""
        raise DeviceError(
            f"runtime = {runtime!r}: the {what} not installed; run pip install {' '.join(missing)}{gpu}, or set "
            "runtime to auto"
        )


def _missing(runtime: str) -> list[str]:
    return [package for package in PACKAGES[runtime] if find_spec(package) is None]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
