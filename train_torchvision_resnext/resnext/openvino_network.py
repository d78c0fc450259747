"""A graph in OpenVINO's own format, compiled and run on the CPU: the same for inference and for training's figures."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""Precision → OpenVINO's hint. Always given: without it, OpenVINO takes bf16 wherever the processor has it. What is
left of an int8 network in floating point stays in fp32."""

CHUNK = 8
"""Images per inference. More are no faster on a CPU, and every new number of images is set up anew; so batches are
cut into 8, 4, 2 and 1."""


class OpenVINONetwork:
    """A compiled network.

    Args:
        graph: in memory, or a file in OpenVINO's own format.
        precision: one of `HINTS`.
        threads: 0 = OpenVINO's own choice, the machine's physical cores.

    Raises:
        RuntimeError: the file is damaged or missing.
    """

    def __init__(self, graph: ov.Model | Path, precision: str, threads: int = 0) -> None:
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        self._request = core().compile_model(graph, "CPU", config).create_infer_request()

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x S x S x 3 uint8, any N and S → N x C logits in float32."""
        answers = []
        for chunk in chunks(len(crops)):
            self._request.infer([np.ascontiguousarray(crops[chunk])], share_inputs=True)
            answers.append(self._request.get_output_tensor(0).data.copy())
        return np.concatenate(answers)


def chunks(count: int) -> list[slice]:
    """Cut a batch into parts of 8, then of 4, 2 and 1."""
    parts, start, size = [], 0, CHUNK
    while start < count:
        while size > count - start:
            size //= 2
        parts.append(slice(start, start + size))
        start += size
    return parts


@functools.cache
def core() -> ov.Core:
    """OpenVINO itself, loaded once."""
    return ov.Core()
