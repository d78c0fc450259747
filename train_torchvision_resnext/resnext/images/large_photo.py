"""PIL's antialiased bilinear filter for a photo that shrinks to an eighth or less.

PIL copies a photo into four bytes a pixel and then filters every row of it. Here OpenCV halves the photo where it lies
as often as a good filter remains to be computed, and the rest are small matrix products, down the columns and then
along the rows. The weights of a halved photo's pixels are chosen so that the result comes as near to the exact one as
PIL's own rounding.
"""

import math
import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .opencv import opencv
from .triangle_filter import Stretch, weights

SMALLEST_SCALE = 4
"""Halving stops before a pixel of the result is made of fewer pixels than this in a row, where weights matter."""

HALVING_BIAS = 1 / 8
"""OpenCV rounds a mean of four levels half up: 0, -1/4, 1/2 or 1/4, an eighth on average."""

HALVED_AT_ONCE = 2**16
"""Pixels of the result. For more, OpenCV would start threads of its own, which gain little here: memory is the limit.
In a process forked from one with threads, as a data loader's, it might wait for them for ever."""

BAND = 8
"""Rows or columns that one product computes. The input of more would leave the processor's cache; that of fewer
overlaps more."""

SMALL_PRODUCT = 2**18
"""Multiplications in one matrix product. OpenBLAS computes products up to here in the calling thread; its own threads
would spin beside those of the forward pass."""

KEPT_BYTES = 2**23
"""Memory of this size at most is kept for the next image: what 12 megapixels take."""

_scratch = threading.local()


def resize(image: NDArray[np.uint8], rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """Shrink a part of a large photo.

    Args:
        image: uint8, H x W x 3, possibly a view.
        rows: what becomes the rows of the result, at a scale of at least `SMALLEST_SCALE`.
        columns: likewise.

    Returns:
        uint8, rows.count x columns.count x 3. From PIL's result, which is rounded after each axis, it differs by less
        than a tenth of a level on average; by more only where neighboring pixels have little in common.

    Raises:
        ImportError: there is no OpenCV.
    """
    factor = 2 ** math.floor(math.log2(min(rows.scale, columns.scale) / SMALLEST_SCALE))
    height, width = image.shape[:2]
    while rows.reach(height, factor)[1] > height or columns.reach(width, factor)[1] > width:
        factor //= 2  # a mean would need pixels beyond the border
    top, bottom = rows.reach(height, factor)
    left, right = columns.reach(width, factor)
    means = image[top:bottom, left:right]
    halvings = factor.bit_length() - 1
    for halving in range(halvings):
        means = _halve(means, f"halved {halving}")
    levels = _filter_across(_filter_down(means, rows, top, factor), columns, left, factor)
    # The conversion to bytes cuts off.
    return np.asarray(np.clip(levels + (0.5 - halvings * HALVING_BIAS), 0, 255), np.uint8)


def _halve(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels, in the memory of this name; H and W must be even."""
    cv2 = opencv()
    height, width = len(image) // 2, image.shape[1] // 2
    halved: NDArray[np.uint8] = _reused(name, (height, width, 3), np.uint8)
    count = max(1, HALVED_AT_ONCE // width)
    for begin in range(0, height, count):
        part = halved[begin : begin + count]
        source = image[2 * begin : 2 * (begin + len(part))]
        cv2.resize(source, (width, len(part)), dst=part, interpolation=cv2.INTER_AREA)
    return halved


def _filter_down(image: NDArray[np.uint8], rows: Stretch, start: int, factor: int) -> NDArray[np.float32]:
    """H x W x 3 → rows.count x W x 3; `factor` source rows, from `start` on, became a row of the image."""
    height, width = image.shape[:2]
    result: NDArray[np.float32] = _reused("filtered", (rows.count, width, 3), np.float32)
    for band in rows.parts(BAND):
        first, last = band.reach(start + height * factor, factor)
        needed = image[(first - start) // factor : (last - start) // factor]
        done = band.begin - rows.begin
        result[done : done + band.count] = _product(_weights_of_means(band, first, last, factor), needed)
    return result


def _filter_across(image: NDArray[np.float32], columns: Stretch, start: int, factor: int) -> NDArray[np.float32]:
    """H x W x 3 → H x columns.count x 3, likewise."""
    height, width = image.shape[:2]
    result = np.empty((height, columns.count, 3), np.float32)
    flat, flat_result = image.reshape(height, -1), result.reshape(height, -1)
    for band in columns.parts(BAND):
        first, last = band.reach(start + width * factor, factor)
        weights_of_channels = _weights_of_channels(band, first, last, factor)
        needed = flat[:, 3 * ((first - start) // factor) : 3 * ((last - start) // factor)]
        done = flat_result[:, 3 * (band.begin - columns.begin) :][:, : 3 * band.count]
        count = max(1, SMALL_PRODUCT // weights_of_channels.size)
        for begin in range(0, height, count):
            rows = slice(begin, begin + count)
            np.matmul(needed[rows], weights_of_channels, out=done[rows])
    return result


@lru_cache(maxsize=1024)
def _weights_of_channels(band: Stretch, first: int, last: int, factor: int) -> NDArray[np.float32]:
    """The same weights for each of three channels in turn: 3 (last - first) / factor x 3 band.count."""
    return np.kron(_weights_of_means(band, first, last, factor).T, np.eye(3, dtype=np.float32))


@lru_cache(maxsize=1024)
def _weights_of_means(band: Stretch, first: int, last: int, factor: int) -> NDArray[np.float32]:
    """What the means of `factor` source pixels, from `first` to `last`, count for in each pixel of the band.

    Returns:
        float32, band.count x (last - first) / factor, each row adding up to 1. To be read only.
    """
    running_sums = weights(band, first, last).cumsum(axis=1) @ _nearest_knots(last - first, factor)
    found = np.diff(running_sums, axis=1, prepend=0)
    return np.asarray(found / found.sum(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=64)
def _nearest_knots(length: int, factor: int) -> NDArray[np.float64]:
    """Takes running sums of `length` weights to those at every `factor`-th that, joined by lines, come nearest to all.

    Weights of means are constant over `factor` pixels, so that their running sum is made of such lines. Neighboring
    pixels are alike. Were the differences between neighbors independent of each other, the mean square error of a
    filter would be that of its running sums.
    """
    knots = np.arange(factor, length + 1, factor)
    lines = np.clip(1 - np.abs(np.arange(1, length + 1)[:, None] - knots) / factor, 0, None)
    return np.asarray(lines @ np.linalg.inv(lines.T @ lines))


def _product(matrix: NDArray[np.float32], image: NDArray[Any]) -> NDArray[np.float32]:
    """M x H times H x W x 3 → M x W x 3, in memory that the next product of this thread uses again."""
    height, width = image.shape[:2]
    part = max(16, SMALL_PRODUCT // (3 * matrix.size))
    padded = -(-width // part) * part
    source: NDArray[np.float32] = _reused("source", (height, padded, 3), np.float32)
    source[:, :width] = image
    source[:, width:] = 0
    result: NDArray[np.float32] = _reused("product", (len(matrix), padded, 3), np.float32)
    # One call multiplies all parts, one by one.
    np.matmul(matrix, _side_by_side(source, part), out=_side_by_side(result, part))
    return result[:, :width]


def _side_by_side(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A view of an image's columns in parts of `width`: H x W x 3 → W / width x H x 3 width."""
    return image.reshape(len(image), -1, 3 * width).transpose(1, 0, 2)


def _reused(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Memory of this thread's own, uninitialized. New memory comes page by page, which takes longer than the filter."""
    size = math.prod(shape)
    memory: NDArray[Any] | None = getattr(_scratch, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, dtype)
        if memory.nbytes <= KEPT_BYTES:
            setattr(_scratch, name, memory)
    return memory[:size].reshape(shape)
