"""ONNX Runtime: on the CPU, and on a GPU by its CUDA and TensorRT providers.

The graph is built once from the weights and kept in the cache, one for each precision; so are the engines that
TensorRT makes of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .. import __version__
from ..cache import Cache, key_of
from ..resnext.machine.devices import DeviceError, gpu_index
from ..resnext.network.chunking import chunks
from ..weights import Model
from .runtime import core_count

GRAPH = "model.onnx"

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

Provider = tuple[str, dict[str, str]]
"""A provider's name and options."""


class OnnxRuntime:
    """A network in ONNX Runtime, on `cpu`, `cuda` or `cuda:N`."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self._session = session

    @classmethod
    def load(cls, model: Model, device: str, precision: str, threads: int, cache: Cache) -> "OnnxRuntime":
        """Load the network, from the cache where it is there.

        Args:
            device: `cpu`, `cuda` or `cuda:N`.
            threads: of the CPU; 0 = the machine's cores.

        Raises:
            DeviceError: there is no such device or precision.
            RuntimeError: ONNX Runtime cannot read or run the graph.
        """
        _refuse(device, precision)
        facts = (__version__, cache.digest(model.file), model.preprocessing.mean, model.preprocessing.std, precision)
        key, engines = key_of(*facts), key_of(*facts, device, onnxruntime.__version__)

        def fill(folder: Path) -> None:
            import onnx

            from .onnx_graph import build_graph

            onnx.save(build_graph(model.architecture, model.arrays(), model.preprocessing, precision), folder / GRAPH)

        def open_graph(folder: Path) -> "OnnxRuntime":
            providers = [(CPU, {})] if device == "cpu" else _on_gpu(device, precision, cache, engines)
            return cls(_session(folder / GRAPH, providers, threads), device, precision)

        # TensorRT's engines are made from the graph.
        runtime = cache.opened("onnx", key, fill, open_graph, derived=[("tensorrt", engines)])
        if device != "cpu" and runtime.provider == CPU:
            raise DeviceError(
                f"device = {device!r}: ONNX Runtime cannot start its CUDA provider; install the versions of CUDA and "
                "cuDNN that it asks for in the log, or set runtime to auto"
            )
        return runtime

    @property
    def provider(self) -> str:
        """What ONNX Runtime really uses, which may be less than it was asked for."""
        return str(self._session.get_providers()[0])

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S → N x C logits in float32. Raises: RuntimeError."""
        parts = chunks(len(crops)) if self.device == "cpu" else [slice(None)]
        try:
            answers = [self._session.run(None, {"crops": np.ascontiguousarray(crops[part])})[0] for part in parts]
        except Exception as error:
            # ONNX Runtime's errors have no base class of their own.
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        return np.concatenate(answers)

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        names = {CPU: "CPU", CUDA: "GPU, by CUDA", TENSORRT: "GPU, by TensorRT"}
        return {
            "name": "onnxruntime",
            "device": self.device,
            "device_name": names.get(self.provider, self.provider),
            "precision": self.precision,
        }

    def is_out_of_memory(self, error: BaseException) -> bool:
        """On a GPU, by its words. On the CPU batches are small already."""
        words = ("Failed to allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
        return self.device != "cpu" and any(each in str(error) for each in words)

    def release_memory(self) -> None:
        """What ONNX Runtime keeps cannot be given back."""


def offers_gpu() -> bool:
    """Whether ONNX Runtime is installed with its CUDA provider."""
    return CUDA in onnxruntime.get_available_providers()


def _refuse(device: str, precision: str) -> None:
    """Raises: DeviceError, for what ONNX Runtime does not run."""
    if device != "cpu" and not offers_gpu():
        raise DeviceError(
            f"device = {device!r}: ONNX Runtime is installed without its CUDA provider; run pip uninstall onnxruntime "
            "and pip install onnxruntime-gpu, or set device to cpu"
        )
    allowed = ("fp32",) if device == "cpu" else ("fp32", "fp16")
    if precision not in allowed:
        raise DeviceError(
            f"precision = {precision!r}: ONNX Runtime runs {' and '.join(allowed)} on {device}; set one of these or "
            "auto, or set runtime to auto"
        )


def _on_gpu(device: str, precision: str, cache: Cache, engines: str) -> list[Provider]:
    """TensorRT where it is offered, and CUDA for whatever TensorRT cannot do."""
    index = str(gpu_index(device))
    # By default, fp32 on newer GPUs is TF32, of ten bits.
    providers: list[Provider] = [(CUDA, {"device_id": index, "use_tf32": "0"})]
    if TENSORRT in onnxruntime.get_available_providers():
        # TensorRT writes its engines into the folder as it makes them, and finds those of another session there.
        folder = str(cache.entry("tensorrt", engines, lambda draft: None))
        options = {
            "device_id": index,
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
            "trt_fp16_enable": str(int(precision == "fp16")),
        }
        providers.insert(0, (TENSORRT, options))
    return providers


def _session(file: Path, providers: list[Provider], threads: int) -> onnxruntime.InferenceSession:
    """Raises: RuntimeError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = core_count(threads)
    # Threads that wait for the next run by spinning slow down whatever runs beside, and save next to nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(file, options, providers)
    except Exception as error:
        # ONNX Runtime's errors have no base class of their own.
        raise RuntimeError(f"{file}: {error}") from error
