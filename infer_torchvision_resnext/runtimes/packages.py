"""Which packages that compute are installed, found without importing them.

Only ONNX Runtime itself tells what it was built for.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from ..resnext.machine.devices import DeviceError

PACKAGES = {
    "torch": ("torch",),
    "torch_compile": ("torch",),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
}
"""Runtimes → the packages that each imports."""

GPU_PACKAGES = {"onnxruntime": "onnxruntime-gpu"}
"""Packages → what is installed in their place to compute on a GPU; both are imported by the same name."""

GPU_LIBRARIES = ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "tensorrt")
"""Packages of libraries that others compute with on a GPU."""


def versions() -> dict[str, str]:
    """Packages that may compute → their versions; empty for what is not installed."""
    packages = {package for needed in PACKAGES.values() for package in needed}
    return {package: version_of(package) for package in sorted({*packages, *GPU_PACKAGES.values(), *GPU_LIBRARIES})}


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


def onnxruntime_offers_gpu() -> bool:
    """Whether ONNX Runtime is installed with its CUDA provider."""
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _missing(runtime: str) -> list[str]:
    return [package for package in PACKAGES[runtime] if find_spec(package) is None]


def version_of(package: str) -> str:
    """Empty for what is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
