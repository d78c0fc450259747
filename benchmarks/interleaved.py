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

    @property
    def low(self) -> float:
        """The first quartile."""
        return float(np.percentile(self.values, 25))

    @property
    def high(self) -> float:
        """The third quartile."""
        return float(np.percentile(self.values, 75))

    def over(self, other: "Timing") -> float:
        """How many times as long as another way: the median of the rounds, each compared with itself.

        A machine that slows down for some rounds slows both down.
        """
        return float(np.median(np.divide(self.values, other.values)))

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f} to {self.high:.1f})"


def time_in_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, warm: int = 2, just_before: bool = True
) -> dict[str, Timing]:
    """Time each way once a round, `warm` rounds of which do not count.

    Args:
        just_before: call each just before as well: threads of the way before may still spin for a while, and the caches
            hold what was its own. In a pass of many seconds nothing is left of that.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(warm + rounds):
        for name, way in ways.items():
            if just_before:
                way()
            start = time.perf_counter()
            way()
            if index >= warm:
                taken[name].append((time.perf_counter() - start) * 1000)
    return {name: Timing(tuple(values)) for name, values in taken.items()}
