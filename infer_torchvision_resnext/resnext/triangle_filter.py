"""PIL's antialiased bilinear filter: what every source pixel counts for, and products of such weights with images."""

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BAND = 8
"""Rows that one product computes. The input of more would leave the processor's cache; that of fewer overlaps more."""

SMALL_PRODUCT = 2**18
"""Multiplications in one matrix product. OpenBLAS computes products up to here in the calling thread; its own threads
would spin beside those of the forward pass."""

KEPT_BYTES = 2**23
"""Memory of this size at most is kept for the next image: what 12 megapixels take."""

_scratch = threading.local()


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

    def bands(self) -> list["Stretch"]:
        """The same in parts of `BAND` pixels."""
        ends = range(self.begin, self.begin + self.count, BAND)
        return [Stretch(self.scale, begin, min(BAND, self.begin + self.count - begin)) for begin in ends]

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
    centres = (stretch.begin + np.arange(stretch.count) + 0.5) * stretch.scale
    # A filter that shrinks is stretched to the source pixels of one resized pixel.
    distances = (np.arange(first, last) - centres[:, None] + 0.5) * (1 / max(stretch.scale, 1.0))
    found = np.clip(1 - np.abs(distances), 0, None)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def product(matrix: NDArray[np.float32], image: NDArray[Any]) -> NDArray[np.float32]:
    """M x H times H x W x 3 → M x W x 3, in memory that the next product of this thread uses again."""
    height, width = image.shape[:2]
    part = max(16, SMALL_PRODUCT // (3 * matrix.size))
    padded = -(-width // part) * part
    source: NDArray[np.float32] = reused("source", (height, padded, 3), np.float32)
    source[:, :width] = image
    source[:, width:] = 0
    result: NDArray[np.float32] = reused("product", (len(matrix), padded, 3), np.float32)
    # One call multiplies all parts, one by one.
    np.matmul(matrix, _side_by_side(source, part), out=_side_by_side(result, part))
    return result[:, :width]


def _side_by_side(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A view of an image's columns in parts of `width`: H x W x 3 → W / width x H x 3 width."""
    return image.reshape(len(image), -1, 3 * width).transpose(1, 0, 2)


def reused(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Memory of this thread's own, uninitialised. New memory comes page by page, which takes longer than the filter."""
    size = math.prod(shape)
    memory: NDArray[Any] | None = getattr(_scratch, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, dtype)
        if memory.nbytes <= KEPT_BYTES:
            setattr(_scratch, name, memory)
    return memory[:size].reshape(shape)
