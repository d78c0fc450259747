"""Small batches replayed as CUDA graphs.

A network has some two hundred kernels. Launching them one by one takes the CPU longer than a GPU takes to compute a
few images; a graph is launched at once. See "CUDA Graphs" in PyTorch's notes on CUDA semantics.
"""

import logging
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)

LARGEST_BATCH = 8
"""With more images the GPU is busy for longer than launching takes."""

MAX_GRAPHS = 16
"""Each keeps memory of its own; further shapes run without."""

Step = Callable[[torch.Tensor], torch.Tensor]


class Replayed:
    """Calls a function on the GPU; of a shape that comes again, what it did the last time is replayed.

    Args:
        step: launches the same kernels for every tensor of a shape, and neither waits for the GPU nor reads from it.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._seen: set[torch.Size] = set()
        self._graphs: dict[torch.Size, _Graph] = {}
        self._works = True

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """What the function gives for the batch, in a tensor of its own."""
        if not self._works or len(batch) > LARGEST_BATCH:
            return self._step(batch)
        if batch.shape not in self._seen:
            # A shape that comes once only is not worth a graph.
            self._seen.add(batch.shape)
            return self._step(batch)
        if batch.shape not in self._graphs and not self._capture(batch):
            return self._step(batch)
        return self._graphs[batch.shape].replay(batch)

    def clear(self) -> None:
        """Give the graphs' memory back."""
        self._graphs.clear()
        self._seen.clear()

    def _capture(self, batch: torch.Tensor) -> bool:
        if len(self._graphs) >= MAX_GRAPHS:
            return False
        try:
            self._graphs[batch.shape] = _Graph(self._step, batch)
        except RuntimeError as error:
            logger.warning("going on without CUDA graphs: %s", str(error).partition("\n")[0])
            self._works = False
            self.clear()
        return self._works


class _Graph:
    """What a function does for one shape, at fixed addresses. Raises: RuntimeError, where it cannot be recorded."""

    def __init__(self, step: Step, batch: torch.Tensor) -> None:
        self._input = batch.clone()
        # Libraries set themselves up in the first calls, which must not be recorded.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step(self._input)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, of other tasks, may go on using the GPU meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = step(self._input)

    def replay(self, batch: torch.Tensor) -> torch.Tensor:
        self._input.copy_(batch)
        self._graph.replay()
        return self._output.clone()
