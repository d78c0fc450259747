"""Resizing with PIL, as torchvision does it, and giving only what the crop shows."""

from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .rgb import RGBImage
from .triangle_filter import Stretch

Size = tuple[int, int]
"""Width and height in pixels."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

SPLIT_PIXELS = 300_000
"""From so many pixels on, two threads are faster than one."""

SPLIT_ASPECT = 1.5
"""Height by width. From about 2 on, newer versions of PIL filter down the columns first, and round after that."""


def resize_whole(
    image: RGBImage, size: Size, rows: Stretch, columns: Stretch, helper: Executor | None = None
) -> NDArray[np.uint8]:
    """Resize the image, then crop: bit for bit what torchvision's transforms give.

    Args:
        image: RGB, uint8, H x W x 3.
        size: of the whole resized image.
        rows: of these, what the crop shows.
        columns: likewise.
        helper: a thread that takes over half of the work, where that pays. The result is the same.

    Returns:
        RGB, uint8, rows.count x columns.count x 3.
    """
    height, width = image.shape[:2]
    if helper and height * width >= SPLIT_PIXELS and height <= SPLIT_ASPECT * width:
        return _resize_in_halves(image, size, rows, columns, helper)
    return _resized(image, size)[rows.shown, columns.shown]


def _resize_in_halves(
    image: RGBImage, size: Size, rows: Stretch, columns: Stretch, helper: Executor
) -> NDArray[np.uint8]:
    """PIL's two passes, along the rows and down the columns, between which it rounds to bytes; of each, a half here."""
    squeezed = np.empty((len(image), columns.count, 3), np.uint8)
    crop = np.empty((rows.count, columns.count, 3), np.uint8)

    def squeeze(part: slice) -> None:
        source = image[part]
        squeezed[part] = _resized(source, (size[0], len(source)))[:, columns.shown]

    def shrink(part: slice) -> None:
        source = squeezed[:, part]
        crop[:, part] = _resized(source, (source.shape[1], size[1]))[rows.shown]

    # Rows that the crop does not look at stay as they are: the whole height is only there for PIL to divide alike.
    for work, (first, last) in ((squeeze, rows.reach(len(image))), (shrink, (0, columns.count))):
        middle = (first + last) // 2
        other_half = helper.submit(work, slice(middle, last))
        work(slice(first, middle))
        other_half.result()
    return crop


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


def _resized(image: RGBImage, size: Size, box: Box | None = None) -> NDArray[np.uint8]:
    pixels = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(pixels.resize(size, Image.Resampling.BILINEAR, box=box))
