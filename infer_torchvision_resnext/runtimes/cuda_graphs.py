"""Small batches replayed as CUDA graphs, in few sizes.

Launching kernels one by one takes the CPU longer than a GPU takes to compute a few images; a graph is launched at once.
See "CUDA Graphs" in PyTorch's notes on CUDA semantics.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import torch

from ..resnext.machine.devices import OutOfMemoryError, first_line, memory_watched

logger = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8, 16, 32)
"""Batches are filled up to the next of these. With more images the GPU is busy for longer than launching takes."""

WARM_UP = 3
"""Libraries set themselves up in the first calls, which must not be recorded."""

TOLERANCE = 1e-3
"""Largest difference of a replay's logits, as a fraction of the largest: the same kernels give the same, or noise."""

_recording = threading.Lock()
"""Only one recording may be under way in a process."""

Step = Callable[[torch.Tensor], torch.Tensor]


class Replayed:
    """Calls a function on the GPU; for batches up to 32, what it did is recorded once and replayed.

    All graphs share their memory, so that what a call gives is valid until the next one, which must come from the same
    thread or wait for it.

    Args:
        step: launches the same kernels for every tensor of a shape, and neither waits for the GPU nor reads from it.
            Each image's answer depends on that image alone.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step, self._device = step, device
        self._graphs: dict[tuple[int, ...], _Graph | None] = {}
        self._memory: tuple[torch.cuda.Stream, Any] | None = None
        self._works = True

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """What the function gives for the batch. Raises: RuntimeError."""
        if not self._works or len(batch) > SIZES[-1]:
            return self._step(batch)
        shape = (next(each for each in SIZES if each >= len(batch)), *batch.shape[1:])
        if shape not in self._graphs:
            self._record(shape, batch)
        graph = self._graphs.get(shape)
        return graph.replay(batch) if graph else self._step(batch)

    def clear(self) -> None:
        """Give the graphs' memory back."""
        self._graphs.clear()
        self._memory = None

    def _record(self, shape: tuple[int, ...], batch: torch.Tensor) -> None:
        """Record what is done for this shape. If there is no memory, it goes without; after other errors, all do."""
        if any(other[1:] != shape[1:] for other in self._graphs):
            # Images of another size take the place of these.
            self.clear()
        try:
            # A recording that fails leaves the thread on its stream.
            with _recording, torch.cuda.stream(torch.cuda.current_stream(self._device)), memory_watched():
                if self._memory is None:
                    stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
                    self._memory = stream, torch.cuda.graph_pool_handle()
                self._graphs[shape] = _Graph(self._step, shape, batch, *self._memory)
        except RuntimeError as error:
            logger.warning("going on without CUDA graphs of %d images: %s", shape[0], first_line(error))
            self._works = isinstance(error, OutOfMemoryError)
            if not self._works:
                self.clear()
            self._graphs[shape] = None


class _Graph:
    """What a function does for one shape, at fixed addresses. Raises: RuntimeError, where it cannot be recorded."""

    def __init__(self, step: Step, shape: tuple[int, ...], batch: torch.Tensor, stream: torch.cuda.Stream, pool: Any):
        self._input = torch.zeros(shape, dtype=batch.dtype, device=batch.device)
        self._input[: len(batch)] = batch
        stream.wait_stream(torch.cuda.current_stream(batch.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                step(self._input)
        torch.cuda.current_stream(batch.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, of other tasks, may go on using the GPU meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._output = step(self._input)
        expected = step(self._input)
        # Or a replay that computes nothing could pass by what lay in its memory.
        self._output.zero_()
        self._graph.replay()
        if not (self._output - expected).abs().max() <= TOLERANCE * expected.abs().max():
            raise RuntimeError("a replayed graph gives other answers than what it recorded")

    def replay(self, batch: torch.Tensor) -> torch.Tensor:
        # Rows behind the batch keep what was there: nobody reads their answers.
        self._input[: len(batch)] = batch
        self._graph.replay()
        return self._output[: len(batch)]
