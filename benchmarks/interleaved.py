"""Time several ways of doing the same, in turns, so that whatever else the machine does strikes all of them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Milliseconds: the median, and the quartiles as its spread."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f} to {self.high:.1f})"


def time_in_turns(ways: Mapping[str, Callable[[], object]], rounds: int, warm: int = 2) -> dict[str, Timing]:
    """Call each way once a round, `warm` rounds of which do not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(warm + rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if index >= warm:
                taken[name].append((time.perf_counter() - start) * 1000)
    return {name: Timing(*np.percentile(values, [50, 25, 75]).tolist()) for name, values in taken.items()}
