"""OpenVINO on the CPU.

The graph is converted once from torch's network and kept in the cache in OpenVINO's own format, one for all
precisions. A later process maps it into memory and needs neither torch nor the weights. (A compiled model in the cache
was slower to load than this, and would be one for each precision and version.)
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..model.cache import Cache, key_of
from ..model.model import Model
from ..resnext.folder.names import INT8_GRAPH, INT8_REPORT
from ..resnext.machine.devices import DeviceError, memory_watched
from ..resnext.machine.threads import core_count
from ..resnext.network.openvino_network import HINTS, OpenVINONetwork, Setup, save
from .runtime import Runtime

REMEDY = (
    "in Ikomia's folder Plugins/Python with python -m infer_torchvision_resnext quantize MODEL_FOLDER IMAGES, or set "
    "precision to auto"
)


class OpenVINORuntime(Runtime):
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
        # Threads that share an image wait for one another, the more so where other processes take their cores.
        streams = core_count(threads) if model.many else 1
        setup = Setup(precision, threads, streams, activations=model.activations)
        if precision == "int8":
            return cls._quantized(model, setup)
        key = key_of(
            __version__, "activations", model.weights.digest, model.preprocessing.mean, model.preprocessing.std
        )

        def fill(folder: Path) -> None:
            from ..resnext.network.conversion import to_openvino

            save(to_openvino(model.network(apart=True).float(), model.preprocessing), folder / "model.xml")

        def open_graph(folder: Path) -> "OpenVINORuntime":
            file = folder / "model.xml"
            return cls(OpenVINONetwork(file, replace(setup, mapped=True)))

        return cache.opened("openvino", key, fill, open_graph)

    @classmethod
    def _quantized(cls, model: Model, setup: Setup) -> "OpenVINORuntime":
        file = _measured_graph(model)
        try:
            network = OpenVINONetwork(file, setup)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise DeviceError(f"precision = 'int8': {file} is damaged ({reason}); make it again {REMEDY}") from error
        if not network.is_whole:
            raise DeviceError(
                f"precision = 'int8': {file} was made before 2.1 and gives no features; make it again {REMEDY}"
            )
        return cls(network)

    @property
    def precision(self) -> str:
        """What it computes in, which may be fp32 where bf16 was asked for."""
        return self._network.precision

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `Runtime.run`, for any N and S."""
        with memory_watched():
            return self._network.run(crops)

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        return {"name": "openvino", "device": "cpu", "device_name": "CPU", "precision": self.precision}


def _measured_graph(model: Model) -> Path:
    """The model's int8 network, if it is what was measured on these weights. Raises: DeviceError."""
    graph = model.files.get(INT8_GRAPH)
    if graph is None:
        raise DeviceError(
            f"precision = 'int8': {model.source} holds no calibrated model ({INT8_GRAPH} of a model folder); make one "
            f"{REMEDY}"
        )
    report = model.files[INT8_REPORT].read(_read_report) if INT8_REPORT in model.files else {}
    if report.get("weights_sha256") != model.weights.digest:
        raise DeviceError(
            f"precision = 'int8': {graph.path} was made of other weights than {model.weights.path}; make it again "
            f"{REMEDY}"
        )
    for name, digest in (report.get("graph_sha256") or {}).items():
        part = graph.path.with_name(Path(name).name)
        known = next((file for file in model.files.values() if file.path == part), None)
        if known is None or known.digest != digest:
            raise DeviceError(f"precision = 'int8': {part} is not what was measured; make it again {REMEDY}")
    return graph.path


def _read_report(path: Path) -> dict[str, Any]:
    """What is known of the int8 network; empty where the file cannot be read. Older ones say less."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = content if isinstance(content, dict) else {}
    return known if isinstance(known.get("graph_sha256", {}), dict) else {}
