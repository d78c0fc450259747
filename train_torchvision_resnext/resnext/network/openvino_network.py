"""A graph in OpenVINO's own format, compiled and run on the CPU: the same for inference and for training's figures."""

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine.disk import errors_of_the_disk
from ..machine.telemetry import without_telemetry
from .outputs import CHUNK, chunks

with without_telemetry():
    import openvino as ov

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""Precision → OpenVINO's hint. Always given: without it, OpenVINO takes bf16 wherever the processor has it. What is
left of an int8 network in floating point stays in fp32."""


@dataclass(frozen=True)
class Setup:
    """How a graph is compiled.

    Attributes:
        precision: one of `HINTS`.
        threads: 0 = OpenVINO's own choice, the machine's physical cores.
        streams: parts of a batch that are computed at a time, each by a share of the threads; 1 = one by all threads,
            which gives a single image's answer soonest.
        mapped: leave a file's weights where they are and map them into memory; only for files that never change.
        activations: give these, too.
    """

    precision: str
    threads: int = 0
    streams: int = 1
    mapped: bool = False
    activations: bool = False


class OpenVINONetwork:
    """A compiled network.

    Args:
        graph: in memory, or a file in OpenVINO's own format.

    Raises:
        RuntimeError: the file is damaged or missing.
    """

    def __init__(self, graph: ov.Model | Path, setup: Setup) -> None:
        self._graph, self._mapped, self._streams = graph, setup.mapped, setup.streams
        self._count = 3 if setup.activations else 2
        self._config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[setup.precision],
            "PERFORMANCE_HINT": "LATENCY" if setup.streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": setup.streams,
        }
        if setup.threads:
            self._config["INFERENCE_NUM_THREADS"] = setup.threads
            # Pinned, they would lie on the first cores, as those of every other process that was given a few threads.
            self._config["ENABLE_CPU_PINNING"] = False
        compiled = self._compiled()
        self.precision = _precision_of(compiled)
        """What it really computes in: `bf16` is a wish that a processor without it does not fulfill."""
        self.is_whole = len(compiled.outputs) == self._count
        """Whether it gives all that it should; int8 networks made before 2.1 give logits alone."""
        self._requests = self._requests_of(compiled)

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S → N rows of its outputs in float32. Raises: RuntimeError."""
        # A network that has failed, for want of memory, answers for other images from then on (OpenVINO 2026.4).
        requests, self._requests = self._requests or self._requests_of(self._compiled()), []
        parts = [np.ascontiguousarray(crops[part]) for part in chunks(len(crops), CHUNK if self._streams == 1 else 1)]
        rows = []
        for place, part in enumerate(parts):
            if place >= self._streams:
                rows.append(_rows(requests[place % self._streams]))
            # Not `infer`, which raises nothing where it fails and leaves the answers of the call before.
            requests[place % self._streams].start_async([part], share_inputs=True)
        rows += [_rows(requests[place % self._streams]) for place in range(len(rows), len(parts))]
        self._requests = requests
        return np.concatenate(rows)

    def _requests_of(self, compiled: ov.CompiledModel) -> list[ov.InferRequest]:
        return [compiled.create_infer_request() for _ in range(self._streams)]

    def _compiled(self) -> ov.CompiledModel:
        graph = self._graph
        if isinstance(graph, Path):
            # Read, not mapped into memory: a file of the user's may be overwritten while it is in use.
            graph = core().read_model(graph, config={"ENABLE_MMAP": self._mapped})
        # What is not asked for is not computed.
        asked = ov.Model(graph.get_results()[: self._count], graph.get_parameters())
        return core().compile_model(asked, "CPU", self._config)


def _rows(request: ov.InferRequest) -> NDArray[np.float32]:
    """The outputs, waited for. A copy: the next images' are written into the same tensors."""
    request.wait()
    return np.concatenate([tensor.data.reshape(len(tensor.data), -1) for tensor in request.output_tensors], axis=1)


PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}


def _precision_of(compiled: ov.CompiledModel) -> str:
    """The format of most convolutions, which are nearly all of the work, as the plugin of the processor tells it."""
    notes = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    found = [note["runtimePrecision"].astype(str) for note in notes if note["layerType"].astype(str) == "Convolution"]
    most = Counter(found).most_common(1)[0][0]
    return str(PRECISIONS.get(most, most))


def save(graph: ov.Model, file: Path) -> None:
    """Write a graph as it is in OpenVINO's own format: `.xml`, and `.bin` beside it. Raises: OSError."""
    with errors_of_the_disk(file):
        ov.save_model(graph, file, compress_to_fp16=False)


@functools.cache
def core() -> ov.Core:
    """OpenVINO itself, loaded once."""
    return ov.Core()
