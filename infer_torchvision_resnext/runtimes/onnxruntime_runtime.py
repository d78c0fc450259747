"""ONNX Runtime: on the CPU, and on a GPU by its CUDA and TensorRT providers.

The graph is converted once from torch's network and kept in the cache, one for each precision; so are the engines
that TensorRT makes of it.
"""

import ctypes
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .. import __version__
from ..model.cache import Cache, key_of
from ..model.model import Model
from ..resnext.machine.devices import DeviceError, OutOfMemoryError, gpu_index, memory_watched
from ..resnext.machine.threads import core_count
from ..resnext.network.outputs import CHUNK, OUTPUTS, chunks
from . import packages
from .runtime import Runtime

GRAPH = "model.onnx"

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

GPU_CHUNK = 32
"""Images per inference on a GPU. CUDA and TensorRT set up every new number of images again, TensorRT for minutes."""

Provider = tuple[str, dict[str, str]]
"""A provider's name and options."""

Start = Callable[[list[Provider]], onnxruntime.InferenceSession]
"""Starts the graph with the first of these that can. Raises: RuntimeError."""

TENSORRTS_LIBRARIES = re.compile(rb"libnv(?:infer|onnxparser)\.so\.\d+|nv(?:infer|onnxparser)_\d+\.dll")
"""Their names, in the file of the provider that is linked with them."""

logger = logging.getLogger(__name__)


class OnnxRuntime(Runtime):
    """A network in ONNX Runtime, on `cpu`, `cuda` or `cuda:N`."""

    def __init__(
        self, session: onnxruntime.InferenceSession, device: str, precision: str, outputs: Sequence[str]
    ) -> None:
        self.device = device
        self.precision = precision
        self._session = session
        self._outputs = outputs

    @classmethod
    def load(cls, model: Model, device: str, precision: str, threads: int, cache: Cache) -> "OnnxRuntime":
        """Load the network, from the cache where it is there.

        Args:
            device: `cpu`, `cuda` or `cuda:N`.
            threads: of the CPU; 0 = the machine's cores.

        Raises:
            DeviceError: there is no such device or precision.
            RuntimeError: the network cannot be converted, or ONNX Runtime cannot read or run the graph.
        """
        _refuse(device, precision)
        facts = (
            __version__,
            "activations",
            model.weights.digest,
            model.preprocessing.mean,
            model.preprocessing.std,
            precision,
        )
        key, engines = key_of(*facts), key_of(*facts, device, onnxruntime.__version__)

        def fill(folder: Path) -> None:
            (folder / GRAPH).write_bytes(converted(model, precision))

        def open_graph(folder: Path) -> "OnnxRuntime":
            start = partial(_session, folder / GRAPH, threads)
            session = start([(CPU, {})]) if device == "cpu" else _on_gpu(start, device, precision, cache, engines)
            return cls(session, device, precision, OUTPUTS if model.activations else OUTPUTS[:2])

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
        """As `Runtime.run`, for any N and S."""
        parts = chunks(len(crops), CHUNK if self.device == "cpu" else GPU_CHUNK)
        with _own_errors("ONNX Runtime"):
            return np.concatenate([self._rows(crops[part]) for part in parts])

    def _rows(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = self._session.run(self._outputs, {"crops": np.ascontiguousarray(crops)})
        return np.concatenate([each.reshape(len(crops), -1) for each in outputs], axis=1)

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        names = {CPU: "CPU", CUDA: "GPU, by CUDA", TENSORRT: "GPU, by TensorRT"}
        return {
            "name": "onnxruntime",
            "device": self.device,
            "device_name": names.get(self.provider, self.provider),
            "precision": self.precision,
        }


def converted(model: Model, precision: str) -> bytes:
    """The network as an ONNX file in fp32 or fp16. Raises: ConversionError, WeightsError."""
    from ..resnext.network.conversion import crops_to_onnx
    from .folding import fold_batch_norms

    network = model.network(apart=True).float()
    if precision == "fp16":
        # The exporter would fold in fp16 itself, which loses two bits and cannot hold every variance.
        fold_batch_norms(network)
        network = network.half()
    return bytes(crops_to_onnx(network, model.preprocessing).SerializeToString())


def _refuse(device: str, precision: str) -> None:
    """Raises: DeviceError, for what ONNX Runtime does not run."""
    if device != "cpu" and not packages.onnxruntime_offers_gpu():
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


def tensorrt_is_there() -> bool:
    """Whether TensorRT itself can be loaded. ONNX Runtime offers the provider wherever it was built with it."""
    if TENSORRT not in onnxruntime.get_available_providers():
        return False
    # The provider itself must not be loaded before ONNX Runtime does it: it looks for its host at once.
    files = (Path(onnxruntime.__file__).parent / "capi").glob("*onnxruntime_providers_tensorrt.*")
    libraries = {name.decode() for file in files for name in TENSORRTS_LIBRARIES.findall(file.read_bytes())}
    try:
        for library in libraries:
            ctypes.CDLL(library, winmode=0)  # 0: on Windows, look where ONNX Runtime will
    except OSError:
        return False
    return bool(libraries)


def _on_gpu(start: Start, device: str, precision: str, cache: Cache, engines: str) -> onnxruntime.InferenceSession:
    """In fp16 TensorRT, if it is there and can; else CUDA. Raises: RuntimeError.

    Args:
        engines: the key of TensorRT's in the cache.
    """
    if hasattr(onnxruntime, "preload_dlls"):
        # CUDA's and cuDNN's libraries come with torch, which a warm start does not import.
        onnxruntime.preload_dlls()
    index = str(gpu_index(device))
    # By default, fp32 on newer GPUs is TF32, of ten bits, and every new number of images is searched the best of all
    # algorithms for.
    cuda = (CUDA, {"device_id": index, "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
    if precision == "fp32" or not tensorrt_is_there():
        # In fp32 TensorRT computes in TF32, too.
        return start([cuda])
    # TensorRT writes its engines into the folder as it makes them, and finds those of another session there.
    folder = str(cache.entry("tensorrt", engines, lambda draft: None))
    options = {
        "device_id": index,
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
        "trt_fp16_enable": "1",
    }
    try:
        return start([(TENSORRT, options), cuda])
    except RuntimeError as error:
        logger.warning("TensorRT does not start, CUDA takes its place: %s", error)
        if not isinstance(error, OutOfMemoryError):
            # What it cannot start from may be a damaged engine.
            cache.forget("tensorrt", engines)
    return start([cuda])


def _session(file: Path, threads: int, providers: list[Provider]) -> onnxruntime.InferenceSession:
    """Raises: RuntimeError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = core_count(threads)
    # Threads that wait for the next run by spinning slow down whatever runs beside, and save next to nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _own_errors(str(file)):
        # Its own fallback would start over without the options, on another GPU and in another format.
        return onnxruntime.InferenceSession(file, options, providers, enable_fallback=0)


@contextmanager
def _own_errors(what: str) -> Iterator[None]:
    """ONNX Runtime's errors have no base class of their own. Raises: RuntimeError, that begins with `what`."""
    with memory_watched():
        try:
            yield
        except Exception as error:
            raise RuntimeError(f"{what}: {error}") from error
