"""OpenVINO on the CPU.

The graph is built once from the weights and kept in the cache in OpenVINO's own format, one for all precisions. A
later process maps it into memory and needs neither torch nor the weights. (A compiled model in the cache was slower
to load than this, and would be one for each precision and version.)
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..cache import Cache, key_of
from ..resnext.devices import DeviceError
from ..resnext.openvino_network import HINTS, OpenVINONetwork
from ..resnext.quantisation import INT8_GRAPH, INT8_REPORT
from ..weights import Model

GRAPH_VERSION = 1
"""Raised when `openvino_graph.py` changes what it builds, so that graphs in caches are built anew."""


class OpenVINORuntime:
    """A network in OpenVINO."""

    def __init__(self, network: OpenVINONetwork, precision: str) -> None:
        self.precision = precision
        self._network = network

    @classmethod
    def load(cls, model: Model, precision: str, threads: int, cache: Cache) -> "OpenVINORuntime":
        """Compile the network, from the cache where it is there.

        Args:
            threads: 0 = OpenVINO's own choice, the machine's physical cores.

        Raises:
            DeviceError: there is no such precision for this model.
        """
        if precision not in HINTS:
            raise DeviceError(
                f"precision = {precision!r}: OpenVINO runs {', '.join(HINTS)}; set one of these or auto, or set "
                "runtime to torch"
            )
        if precision == "int8":
            return cls.of_file(_int8_file(model, cache), precision, threads)
        key = key_of(GRAPH_VERSION, cache.digest(model.file), model.preprocessing.mean, model.preprocessing.std)

        def fill(folder: Path) -> None:
            from ..resnext.openvino_graph import build_graph

            graph = build_graph(model.architecture, model.arrays(), model.preprocessing)
            ov.save_model(graph, folder / "model.xml", compress_to_fp16=False)

        def open_graph(folder: Path) -> "OpenVINORuntime":
            return cls.of_file(folder / "model.xml", precision, threads)

        return cache.opened("openvino", key, fill, open_graph)

    @classmethod
    def of_file(cls, file: Path, precision: str, threads: int) -> "OpenVINORuntime":
        """Compile a graph in OpenVINO's own format. Raises: RuntimeError."""
        return cls(OpenVINONetwork(file, precision, threads), precision)

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S → N x C logits in float32."""
        return self._network.run(crops)

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        return {"name": "openvino", "device": "cpu", "device_name": "CPU", "precision": self.precision}

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Never worth another attempt: batches are small already."""
        return False

    def release_memory(self) -> None:
        """Nothing is kept that could be given back."""


def _int8_file(model: Model, cache: Cache) -> Path:
    remedy = "with python -m infer_torchvision_resnext.quantize MODEL_FOLDER IMAGES, or set precision to auto"
    file = model.folder / INT8_GRAPH if model.folder else None
    if model.folder is None or file is None or not file.is_file():
        raise DeviceError(
            f"precision = 'int8': {model.source} holds no calibrated model ({INT8_GRAPH} of a model folder); make one "
            f"{remedy}"
        )
    try:
        quantised = json.loads((model.folder / INT8_REPORT).read_text(encoding="utf-8"))["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        quantised = ""
    if quantised != cache.digest(model.file):
        raise DeviceError(
            f"precision = 'int8': {file} was made of other weights than {model.file}; make it anew {remedy}"
        )
    return file
