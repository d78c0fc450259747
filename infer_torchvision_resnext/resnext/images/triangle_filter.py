"""PIL's antialiased bilinear filter: which source pixels a resized one is made of, and what each of them counts for."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stretch:
    """`count` pixels of a resized axis, from `begin` on; `scale` source pixels became one."""

    scale: float
    begin: int
    count: int

    @property
    def start(self) -> float:
        """Where it begins on the source's axis, in pixels."""
        return self.begin * self.scale

    @property
    def stop(self) -> float:
        """Where it ends."""
        return (self.begin + self.count) * self.scale

    @property
    def shown(self) -> slice:
        """Its pixels in the whole of the resized axis."""
        return slice(self.begin, self.begin + self.count)

    def reach(self, length: int, step: int = 1) -> tuple[int, int]:
        """The first source pixel that counts and the one behind the last, both rounded outwards to whole steps."""
        # A triangle reaches one resized pixel to each side when it shrinks, one source pixel when it enlarges.
        margin = max(self.scale, 1.0)
        first, last = max(0.0, self.start - margin), min(length, self.stop + margin)
        return math.floor(first / step) * step, math.ceil(last / step) * step


def triangle(source: Any, resized: Any, scale: float) -> Any:
    """What each of the source pixels counts for in each of the resized: a row for each of these, adding up to 1.

    Args:
        source: indices of pixels, an array or a tensor of floats, wherever it lies.
        resized: likewise.
    """
    # A filter that shrinks is stretched to the source pixels of one resized pixel.
    distances = (source - ((resized + 0.5) * scale)[:, None] + 0.5) * (1 / max(scale, 1.0))
    found = (1 - abs(distances)).clip(min=0)
    return found / found.sum(1)[:, None]
