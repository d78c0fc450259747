"""Resizing as torchvision does it, with PIL's antialiased bilinear filter, and only what the crop shows."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .opencv import opencv
from .rgb import RGBImage
from .triangle_filter import Stretch

Size = tuple[int, int]
"""Width and height in pixels."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

SMALLEST_SCALE = 4
"""So many means in a row, or more, make a pixel of the result, so that PIL's filter still shapes it."""

AT_ONCE = 2**16
"""Pixels of the means. For more, OpenCV would start threads of its own, for which a process that is forked from this
one, such as a data loader's, might wait for ever."""


def resize_whole(image: RGBImage, size: Size, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """Resize the image, then crop: bit for bit what torchvision's transforms give.

    Args:
        image: RGB, uint8, H x W x 3.
        size: of the whole resized image.
        rows: of these, what the crop shows.
        columns: likewise.

    Returns:
        RGB, uint8, rows.count x columns.count x 3.
    """
    return _resized(image, size)[rows.shown, columns.shown]


def resize_strip(image: RGBImage, size: Size, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """The same for a long strip, of whose long side only what the crop shows is resized.

    PIL keeps where that begins and ends in float32, so that a few pixels may be a level off.
    """
    height, width = image.shape[:2]
    if height > width:
        top, bottom = rows.reach(height)
        box: Box = (0, rows.start - top, width, rows.stop - top)
        return _resized(image[top:bottom], (size[0], rows.count), box)[:, columns.shown]
    left, right = columns.reach(width)
    box = (columns.start - left, 0, columns.stop - left, height)
    return _resized(image[:, left:right], (columns.count, size[1]), box)[rows.shown]


def resize_large(image: RGBImage, rows: Stretch, columns: Stretch) -> NDArray[np.uint8]:
    """The same for a large photo, of which PIL gets the means of 2 x 2 pixels, or more: it would copy all of it.

    Raises:
        ImportError: there is no OpenCV.
    """
    height, width = image.shape[:2]
    largest = 2 * int(min(rows.scale, columns.scale) / (2 * SMALLEST_SCALE))
    # No mean may need pixels beyond the border.
    side = next(
        each
        for each in (*range(largest, 1, -2), 1)
        if rows.reach(height, each)[1] <= height and columns.reach(width, each)[1] <= width
    )
    (top, bottom), (left, right) = rows.reach(height, side), columns.reach(width, side)
    box = (columns.start - left, rows.start - top, columns.stop - left, rows.stop - top)
    means = _means(image[top:bottom, left:right], side)
    return _resized(means, (columns.count, rows.count), tuple(edge / side for edge in box))


def _means(image: RGBImage, side: int) -> NDArray[np.uint8]:
    """Of squares of `side` pixels, of which H and W are multiples."""
    cv2 = opencv()
    height, width = len(image) // side, image.shape[1] // side
    means = np.empty((height, width, 3), np.uint8)
    count = max(1, AT_ONCE // width)
    for begin in range(0, height, count):
        part = means[begin : begin + count]
        source = image[begin * side : (begin + len(part)) * side]
        cv2.resize(source, (width, len(part)), dst=part, interpolation=cv2.INTER_AREA)
    return means


def _resized(image: RGBImage, size: Size, box: Box | None = None) -> NDArray[np.uint8]:
    pixels = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(pixels.resize(size, Image.Resampling.BILINEAR, box=box))
