"""Time several ways of doing the same, in turns, so that whatever else the machine does strikes all of them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """What a way took, in milliseconds, round by round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    def over(self, other: "Timing") -> float:
        """How many times as long as another way: the median of the rounds, each compared with itself.

        A machine that slows down for some rounds slows both down.
        """
        return float(np.median(np.divide(self.values, other.values)))

    def __str__(self) -> str:
        low, high = np.percentile(self.values, [25, 75])
        return f"{self.median:.1f} ({low:.1f} to {high:.1f})"


def time_in_turns(ways: Mapping[str, Callable[[], object]], rounds: int, warm: int = 2) -> dict[str, Timing]:
    """Call each way once a round, `warm` rounds of which do not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(warm + rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if index >= warm:
                taken[name].append((time.perf_counter() - start) * 1000)
    return {name: Timing(tuple(values)) for name, values in taken.items()}
