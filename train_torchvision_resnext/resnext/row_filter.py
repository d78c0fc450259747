"""The vertical half of an antialiased resize, as small matrix products.

PIL copies an image into four bytes a pixel and then filters it along the rows first, which takes most of the time for
a large photo. Filtering down the columns first reads the frame where it lies, and leaves PIL a small picture.
"""

import threading

import numpy as np
from numpy.typing import NDArray

SMALL_PRODUCT = 2**18
"""Multiplications in one matrix product. OpenBLAS computes products up to here in the calling thread; its own threads
would spin beside those of the forward pass."""

_scratch = threading.local()


def resize_rows(image: NDArray[np.uint8], start: float, stop: float, count: int) -> NDArray[np.uint8]:
    """Shrink an image vertically with PIL's antialiased bilinear filter.

    Args:
        image: uint8, H x W x C, possibly a view.
        start: where the part to be resized begins, in rows.
        stop: where it ends; the rows around it are looked at as far as the filter reaches.
        count: rows of the result, at most `stop - start`.

    Returns:
        uint8, count x W x C. PIL rounds between its two passes as well, but in the other order, so that a pixel may
        come out a level off in the end.
    """
    weights = _triangle_weights(len(image), start, stop, count)
    rows = image.reshape(len(image), -1)
    height, length = rows.shape
    width = max(64, SMALL_PRODUCT // weights.size)
    parts = -(-length // width)
    # One call multiplies all parts, one by one: threads would fight for Python's lock in between.
    source = _reused("source", height, parts * width)
    source[:, :length] = rows
    source[:, length:] = 0
    mean = _reused("mean", count, parts * width)
    np.matmul(weights, _side_by_side(source, width), out=_side_by_side(mean, width))
    mean += 0.5  # the conversion to bytes cuts off
    return mean[:, :length].astype(np.uint8).reshape(count, *image.shape[1:])


def _side_by_side(matrix: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A view of a matrix's columns in parts of `width`: H x W → W / width x H x width."""
    return matrix.reshape(len(matrix), -1, width).transpose(1, 0, 2)


def _reused(name: str, height: int, width: int) -> NDArray[np.float32]:
    """Memory of this thread's own. New memory is fetched page by page, which takes longer than the filter."""
    memory: NDArray[np.float32] | None = getattr(_scratch, name, None)
    if memory is None or memory.size < height * width:
        memory = np.empty(height * width, np.float32)
        setattr(_scratch, name, memory)
    return memory[: height * width].reshape(height, width)


def _triangle_weights(length: int, start: float, stop: float, count: int) -> NDArray[np.float32]:
    """What each of `length` rows counts for in each of `count`; float32, count x length, rows adding up to 1."""
    scale = (stop - start) / count
    centres = start + (np.arange(count) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None]) / scale
    weights = np.clip(1 - distances, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
