"""PIL's antialiased bilinear filter for a photo that shrinks to an eighth or less.

PIL copies a photo into four bytes a pixel and then filters every row of it. Here OpenCV halves the photo where it lies
as often as a good filter remains to be computed, and the rest are small matrix products, down the columns and then
along the rows. The weights of a halved photo's pixels are chosen so that the result comes as near to the exact one as
PIL's own rounding.
"""

import math
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .opencv import opencv

SMALLEST_SCALE = 4
"""Halving stops before a pixel of the result is made of fewer pixels than this in a row, where weights matter."""

HALVING_BIAS = 1 / 8
"""OpenCV rounds a mean of four levels half up: 0, -1/4, 1/2 or 1/4, an eighth on average."""

HALVED_AT_ONCE = 2**16
"""Pixels. OpenCV halves up to so many in the calling thread, and more in threads of its own."""

BAND = 8
"""Rows that one product computes. The input of more would leave the processor's cache; that of fewer overlaps more."""

SMALL_PRODUCT = 2**18
"""Multiplications in one matrix product. OpenBLAS computes products up to here in the calling thread; its own threads
would spin beside those of the forward pass."""

KEPT_BYTES = 2**23
"""Memory of this size at most is kept for the next photo: what 12 megapixels take."""

_scratch = threading.local()


@dataclass(frozen=True)
class Stretch:
    """The part of an axis, `start` to `stop` in source pixels, that becomes `count` pixels; `count` is far smaller."""

    start: float
    stop: float
    count: int

    @property
    def scale(self) -> float:
        """Source pixels in a row that become one."""
        return (self.stop - self.start) / self.count

    def part(self, begin: int, end: int) -> "Stretch":
        """Of the result, the pixels from `begin` to `end`."""
        return Stretch(self.start + begin * self.scale, self.start + end * self.scale, end - begin)

    def shifted(self, by: int) -> "Stretch":
        """The same, counted from the source pixel `by`."""
        return Stretch(self.start - by, self.stop - by, self.count)

    def reach(self, length: int, step: int) -> tuple[int, int]:
        """The first source pixel that counts and the one behind the last, both rounded outwards to whole steps."""
        first, last = max(0.0, self.start - self.scale), min(length, self.stop + self.scale)
        return math.floor(first / step) * step, math.ceil(last / step) * step


def resize(image: NDArray[np.uint8], rows: Stretch, columns: Stretch, parallel: bool = False) -> NDArray[np.uint8]:
    """Shrink a part of a large photo.

    Args:
        image: uint8, H x W x 3, possibly a view.
        rows: what becomes the rows of the result, at a scale of at least `SMALLEST_SCALE`.
        columns: likewise.
        parallel: whether OpenCV's threads may help. The result is the same.

    Returns:
        uint8, rows.count x columns.count x 3. From PIL's result, which is rounded after each axis, it differs by less
        than a tenth of a level on average; by more only where neighbouring pixels have little in common.

    Raises:
        ImportError: there is no OpenCV.
    """
    factor = 2 ** math.floor(math.log2(min(rows.scale, columns.scale) / SMALLEST_SCALE))
    height, width = image.shape[:2]
    while rows.reach(height, factor)[1] > height or columns.reach(width, factor)[1] > width:
        factor //= 2  # a mean would need pixels beyond the border
    top, bottom = rows.reach(height, factor)
    left, right = columns.reach(width, factor)
    squeezed = image[top:bottom, left:right]
    halvings = factor.bit_length() - 1
    for halving in range(halvings):
        squeezed = _halve(squeezed, f"halved {halving}", parallel)
    for stretch in (rows.shifted(top), columns.shifted(left)):
        squeezed = _turn(_filter_down(squeezed, stretch, factor))
    # The conversion to bytes cuts off.
    return np.clip(squeezed + (0.5 - halvings * HALVING_BIAS), 0, 255).astype(np.uint8)


def _halve(image: NDArray[np.uint8], name: str, parallel: bool) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels, in the memory of this name; H and W must be even."""
    cv2 = opencv()
    height, width = len(image) // 2, image.shape[1] // 2
    halved: NDArray[np.uint8] = _reused(name, (height, width, 3), np.uint8)
    count = height if parallel else max(1, HALVED_AT_ONCE // width)
    for begin in range(0, height, count):
        part = halved[begin : begin + count]
        source = image[2 * begin : 2 * (begin + len(part))]
        cv2.resize(source, (width, len(part)), dst=part, interpolation=cv2.INTER_AREA)
    return halved


def _turn(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """H x W x 3 → W x H x 3."""
    height, width = image.shape[:2]
    turned: NDArray[np.float32] = _reused("turned", (width, height, 3), np.float32)
    opencv().transpose(image, dst=turned)
    return turned


def _filter_down(image: NDArray[Any], rows: Stretch, factor: int) -> NDArray[np.float32]:
    """H x W x 3 → rows.count x W x 3; `rows` are counted in pixels of which `factor` became one row of the image."""
    height, width = image.shape[:2]
    result: NDArray[np.float32] = _reused("filtered", (rows.count, width, 3), np.float32)
    for begin in range(0, rows.count, BAND):
        part = rows.part(begin, min(begin + BAND, rows.count))
        first, last = part.reach(height * factor, factor)
        weights = _weights(last - first, part.shifted(first), factor)
        result[begin : begin + BAND] = _product(weights, image[first // factor : last // factor])
    return result


def _product(weights: NDArray[np.float32], image: NDArray[Any]) -> NDArray[np.float32]:
    """M x H times H x W x 3 → M x W x 3."""
    height, width = image.shape[:2]
    part = max(16, SMALL_PRODUCT // (3 * weights.size))
    padded = -(-width // part) * part
    source: NDArray[np.float32] = _reused("source", (height, padded, 3), np.float32)
    source[:, :width] = image
    source[:, width:] = 0
    result: NDArray[np.float32] = _reused("product", (len(weights), padded, 3), np.float32)
    # One call multiplies all parts, one by one.
    np.matmul(weights, _side_by_side(source, part), out=_side_by_side(result, part))
    return result[:, :width]


def _side_by_side(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A view of an image's columns in parts of `width`: H x W x 3 → W / width x H x 3 width."""
    return image.reshape(len(image), -1, 3 * width).transpose(1, 0, 2)


def _reused(name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """Memory of this thread's own, uninitialised. New memory comes page by page, which takes longer than the filter."""
    size = math.prod(shape)
    memory: NDArray[Any] | None = getattr(_scratch, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, dtype)
        if memory.nbytes <= KEPT_BYTES:
            setattr(_scratch, name, memory)
    return memory[:size].reshape(shape)


@lru_cache(maxsize=1024)
def _weights(length: int, rows: Stretch, factor: int) -> NDArray[np.float32]:
    """What the means of `factor` neighbours, of `length` source pixels, count for in each pixel of `rows`.

    Returns:
        float32, rows.count x length / factor, each row adding up to 1. To be read only.
    """
    centres = rows.start + (np.arange(rows.count) + 0.5) * rows.scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None]) / rows.scale
    exact = np.clip(1 - distances, 0, None)
    weights = np.diff(exact.cumsum(axis=1) @ _nearest_knots(length, factor), axis=1, prepend=0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=64)
def _nearest_knots(length: int, factor: int) -> NDArray[np.float64]:
    """Takes running sums of `length` weights to those at every `factor`-th that, joined by lines, come nearest to all.

    Weights of means are constant over `factor` pixels, so that their running sum is made of such lines. Neighbouring
    pixels are alike. Were the differences between neighbours independent of each other, the mean square error of a
    filter would be that of its running sums.
    """
    knots = np.arange(factor, length + 1, factor)
    lines = np.clip(1 - np.abs(np.arange(1, length + 1)[:, None] - knots) / factor, 0, None)
    return np.asarray(lines @ np.linalg.inv(lines.T @ lines))
