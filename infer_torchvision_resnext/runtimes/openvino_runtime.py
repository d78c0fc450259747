"""OpenVINO on the CPU.

The graph is converted once from torch's network and kept in the cache in OpenVINO's own format, one for all
precisions. A later process maps it into memory and needs neither torch nor the weights. (A compiled model in the cache
was slower to load than this, and would be one for each precision and version.)
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..cache import Cache, key_of
from ..resnext.machine.devices import DeviceError
from ..resnext.network.openvino_network import HINTS, OpenVINONetwork, save
from ..resnext.network.quantization import INT8_GRAPH, INT8_REPORT
from ..weights import Model

REMEDY = (
    "in Ikomia's folder Plugins/Python with python -m infer_torchvision_resnext.quantize MODEL_FOLDER IMAGES, or set "
    "precision to auto"
)


class OpenVINORuntime:
    """A network in OpenVINO."""

    def __init__(self, network: OpenVINONetwork) -> None:
        self._network = network

    @classmethod
    def load(cls, model: Model, precision: str, threads: int, cache: Cache) -> "OpenVINORuntime":
        """Compile the network, from the cache where it is there.

        Args:
            threads: 0 = OpenVINO's own choice, the machine's physical cores.

        Raises:
            DeviceError: there is no such precision for this model.
            RuntimeError: the network cannot be converted or compiled.
        """
        if precision not in HINTS:
            raise DeviceError(
                f"precision = {precision!r}: OpenVINO runs {', '.join(HINTS)}; set one of these or auto, or set "
                "runtime to torch"
            )
        if precision == "int8":
            return cls._quantized(model, threads, cache)
        key = key_of(
            __version__, "activations", cache.digest(model.file), model.preprocessing.mean, model.preprocessing.std
        )

        def fill(folder: Path) -> None:
            from ..resnext.network.conversion import to_openvino

            save(to_openvino(model.network(apart=True).float(), model.preprocessing), folder / "model.xml")

        def open_graph(folder: Path) -> "OpenVINORuntime":
            file = folder / "model.xml"
            return cls(OpenVINONetwork(file, precision, threads, mapped=True, activations=model.activations))

        return cache.opened("openvino", key, fill, open_graph)

    @classmethod
    def _quantized(cls, model: Model, threads: int, cache: Cache) -> "OpenVINORuntime":
        file = _int8_file(model, cache)
        try:
            network = OpenVINONetwork(file, "int8", threads, activations=model.activations)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise DeviceError(f"precision = 'int8': {file} is damaged ({reason}); make it anew {REMEDY}") from error
        if not network.tells_all:
            raise DeviceError(
                f"precision = 'int8': {file} is of before 2.1 and tells no features; make it anew {REMEDY}"
            )
        return cls(network)

    @property
    def precision(self) -> str:
        """What it computes in, which may be fp32 where bf16 was asked for."""
        return self._network.precision

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `Runtime.run`, for any N and S."""
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
    file = model.folder / INT8_GRAPH if model.folder else None
    if model.folder is None or file is None or not file.is_file():
        raise DeviceError(
            f"precision = 'int8': {model.source} holds no calibrated model ({INT8_GRAPH} of a model folder); make one "
            f"{REMEDY}"
        )
    report = _report(model.folder / INT8_REPORT)
    if report.get("weights_sha256") != cache.digest(model.file):
        raise DeviceError(
            f"precision = 'int8': {file} was made of other weights than {model.file}; make it anew {REMEDY}"
        )
    for part, digest in (report.get("graph_sha256") or {}).items():
        of_graph = file.with_name(Path(part).name)
        if not of_graph.is_file() or cache.digest(of_graph) != digest:
            raise DeviceError(f"precision = 'int8': {of_graph} is not what was measured; make it anew {REMEDY}")
    return file


def _report(path: Path) -> dict[str, Any]:
    """What is known of the int8 network; empty where the file cannot be read. Folders of before know less."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = content if isinstance(content, dict) else {}
    return known if isinstance(known.get("graph_sha256", {}), dict) else {}
