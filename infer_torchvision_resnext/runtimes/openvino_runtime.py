"""OpenVINO on the CPU.

The graph is converted once from torch's network and kept in the cache in OpenVINO's own format, one for all
precisions. A later process maps it into memory and needs neither torch nor the weights. (A compiled model in the cache
was slower to load than this, and would be one for each precision and version.)
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..cache import Cache, key_of
from ..model import Int8, Model
from ..resnext.machine.devices import DeviceError, memory_watched
from ..resnext.network.openvino_network import HINTS, OpenVINONetwork, save
from ..resnext.network.quantization import INT8_GRAPH
from .runtime import Runtime

REMEDY = (
    "in Ikomia's folder Plugins/Python with python -m infer_torchvision_resnext.quantize MODEL_FOLDER IMAGES, or set "
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
        if precision == "int8":
            return cls._quantized(model, threads)
        key = key_of(__version__, "features", model.weights.digest, model.preprocessing.mean, model.preprocessing.std)

        def fill(folder: Path) -> None:
            from ..resnext.network.conversion import to_openvino

            save(to_openvino(model.network(apart=True).float(), model.preprocessing), folder / "model.xml")

        def open_graph(folder: Path) -> "OpenVINORuntime":
            return cls(OpenVINONetwork(folder / "model.xml", precision, threads, mapped=True))

        return cache.opened("openvino", key, fill, open_graph)

    @classmethod
    def _quantized(cls, model: Model, threads: int) -> "OpenVINORuntime":
        int8 = _measured(model)
        try:
            network = OpenVINONetwork(int8.graph, "int8", threads)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise DeviceError(
                f"precision = 'int8': {int8.graph} is damaged ({reason}); make it anew {REMEDY}"
            ) from error
        if not network.tells_features:
            raise DeviceError(
                f"precision = 'int8': {int8.graph} is of before 2.1 and has no features among its outputs; make it "
                f"anew {REMEDY}"
            )
        return cls(network)

    @property
    def precision(self) -> str:
        """What it computes in, which may be fp32 where bf16 was asked for."""
        return self._network.precision

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S → N x (C + F), logits and features, in float32."""
        with memory_watched():
            return self._network.run(crops)

    def describe(self) -> dict[str, Any]:
        """For output and logs."""
        return {"name": "openvino", "device": "cpu", "device_name": "CPU", "precision": self.precision}


def _measured(model: Model) -> Int8:
    """The model's int8 network, if it is what was measured on these weights. Raises: DeviceError."""
    int8 = model.int8
    if int8 is None:
        raise DeviceError(
            f"precision = 'int8': {model.source} holds no calibrated model ({INT8_GRAPH} of a model folder); make one "
            f"{REMEDY}"
        )
    if int8.weights_sha256 != model.weights.digest:
        raise DeviceError(
            f"precision = 'int8': {int8.graph} was made of other weights than {model.weights.path}; make it anew "
            f"{REMEDY}"
        )
    for name, digest in int8.measured.items():
        if int8.found.get(name) != digest:
            raise DeviceError(
                f"precision = 'int8': {int8.graph.with_name(name)} is not what was measured; make it anew {REMEDY}"
            )
    return int8
