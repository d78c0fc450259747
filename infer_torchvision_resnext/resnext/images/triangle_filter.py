"""PIL's antialiased bilinear filter: which source pixels a resized one is made of, and what each of them counts for."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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

    def parts(self, count: int) -> list["Stretch"]:
        """The same, cut into stretches of `count` pixels, the last perhaps shorter."""
        end = self.begin + self.count
        return [Stretch(self.scale, begin, min(count, end - begin)) for begin in range(self.begin, end, count)]

    def reach(self, length: int, step: int = 1) -> tuple[int, int]:
        """The first source pixel that counts and the one behind the last, both rounded outwards to whole steps."""
        # A triangle reaches one resized pixel to each side when it shrinks, one source pixel when it enlarges.
        margin = max(self.scale, 1.0)
        first, last = max(0.0, self.start - margin), min(length, self.stop + margin)
        return math.floor(first / step) * step, math.ceil(last / step) * step


def weights(stretch: Stretch, first: int, last: int) -> NDArray[np.float64]:
    """What the source pixels from `first` to `last` count for in each pixel of the stretch.

    Returns:
        float64, stretch.count x (last - first), each row adding up to 1.
    """
    resized = np.arange(stretch.begin, stretch.begin + stretch.count)
    return np.asarray(triangle(np.arange(first, last), resized, stretch.scale))


def triangle(source: Any, resized: Any, scale: float) -> Any:
    """What each of the source pixels counts for in each of the resized; of arrays or of tensors, wherever they are."""
    # A filter that shrinks is stretched to the source pixels of one resized pixel.
    distances = (source - ((resized + 0.5) * scale)[:, None] + 0.5) * (1 / max(scale, 1.0))
    found = (1 - abs(distances)).clip(min=0)
    return found / found.sum(1)[:, None]
