"""Any image the host may hand over → RGB, uint8, H x W x 3.

Training and inference read pixels through this one function, so that a picture means the same to both.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

RGBImage = NDArray[np.uint8]
"""H x W x 3, RGB, 0-255; possibly a read-only view."""

DIM = 0.2
"""An image whose brightest value lies below this share of the range leaves most of it unused."""

_STRIDE = 16
"""A pixel in 256 nearly always shows that an image is not dim."""

_BY_DEPTH = {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}
"""The value that is white under `auto`; black is 0."""


class ImageError(ValueError):
    """The image cannot be classified; the message says why and what to do."""


class MissingPackageError(ImageError):
    """The image may be whole, but the package that decodes it is not installed; the message names it."""


@dataclass(frozen=True)
class Values:
    """What an image's values are, alpha left out.

    Attributes:
        depth: numpy's name of their type.
        low, high: the smallest and the largest.
    """

    depth: str
    low: float
    high: float

    @classmethod
    def of(cls, image: NDArray[Any]) -> Self:
        """Raises: ImageError for what is not an image, is empty, not real numbers, NaN or infinite."""
        return cls._of_pixels(_color(image))

    @classmethod
    def _of_pixels(cls, pixels: NDArray[Any]) -> Self:
        if pixels.dtype.kind not in "buif":
            raise ImageError(f"the input image is {pixels.dtype}: expected integers, floating point or bool")
        low, high = float(pixels.min()), float(pixels.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            bad = pixels.size - int(np.isfinite(pixels).sum())
            raise ImageError(f"the input image holds {bad} values that are NaN or infinite: replace them first")
        return cls(str(pixels.dtype), low, high)


@dataclass(frozen=True)
class ValueRange:
    """Which of an image's values become black and white; what lies beyond is cut off.

    Part of a model, as its preprocessing is. As text it is `auto`, `minmax` or `low,high`:

    - `auto`: by depth. uint8 from 0 to 255, uint16 from 0 to 65535, floating point from 0 to 1, nothing else.
    - `minmax`: from the smallest to the largest value of each image. An image of a single value is black.
    - `low,high`: these values, in the image's own numbers: `0,4095` for 12 bits.

    Attributes:
        limits: of `low,high`; None for the others.
    """

    name: str = "auto"
    limits: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ValueError, with what is allowed."""
        if text in ("auto", "minmax"):
            return cls(text)
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            low = high = math.nan
        if not (low < high and math.isfinite(high - low)):
            raise ValueError("must be auto, minmax, or low,high with low below high, such as 0,4095")
        return cls(f"{low:.15g},{high:.15g}", (low, high))

    def __str__(self) -> str:
        return self.name

    def of(self, values: Values) -> tuple[float, float]:
        """The values that become black and white in an image with these. Raises: ImageError."""
        if self.limits:
            return self.limits
        if self.name == "minmax":
            return values.low, values.high
        return 0.0, self._white_by_depth(values)

    def dimness(self, values: Values) -> str:
        """What to say of an image that leaves four fifths of the range unused; empty for others. Raises: ImageError."""
        low, high = self.of(values)
        if self.name == "minmax" or values.high >= low + DIM * (high - low):
            return ""
        return f"its brightest value is {values.high:g}, where {high:g} is white"

    def _white_by_depth(self, values: Values) -> float:
        white = _BY_DEPTH.get(values.depth)
        if white is None:
            raise ImageError(
                f"the input image is {values.depth}: expected uint8, uint16, floating point in [0, 1] or bool; or set "
                "value_range to what is black and white in it, such as -1000,400, or to minmax"
            )
        # What rounds into 0..255 is accepted, so that resampling's tiny overshoot is not an error.
        slack = 0.5 / 255
        if values.low < -slack or values.high > white + slack:
            raise ImageError(
                f"the input image is {values.depth} with values from {values.low:g} to {values.high:g}: floating point "
                "images must lie in [0, 1]; scale it, convert it to uint8, or set value_range to what is black and "
                "white in it"
            )
        return white


AUTO = ValueRange()


def to_rgb(image: NDArray[Any] | None, value_range: ValueRange = AUTO) -> RGBImage:
    """Convert an image to RGB uint8.

    Accepts H x W, or H x W x C with C = 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA); alpha is dropped, as
    torchvision's and PIL's `convert("RGB")` do. Values are scaled linearly from `value_range` to 0..255 and rounded to
    the nearest. uint8 under `auto` passes as it is, without a copy; bool becomes black and white.

    Raises:
        ImageError: no image, an empty one, another shape or dtype, NaN or infinity, floats outside [0, 1] under `auto`.
    """
    pixels = _to_uint8(_color(image), value_range)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    height, width = pixels.shape[:2]
    return np.broadcast_to(pixels.reshape(height, width, 1), (height, width, 3))


def dim_note(image: NDArray[Any], value_range: ValueRange) -> str:
    """What to say of an image that `to_rgb` took, if it leaves four fifths of the range unused; empty otherwise."""
    pixels = _color(image)
    # Looking at all pixels costs as much as everything else does for a large photo.
    few = pixels[::_STRIDE, ::_STRIDE]
    if not value_range.dimness(Values(str(few.dtype), float(few.min()), float(few.max()))):
        return ""
    values = Values.of(image)
    dimness = value_range.dimness(values)
    return f"the image is nearly black: {dimness}; {range_for(values)}" if dimness else ""


def range_for(values: Values) -> str:
    """How to set `value_range` for such images."""
    if not values.depth.startswith("uint") or values.high < 1:
        return "set value_range to what is black and white in it, or to minmax"
    bits = int(values.high).bit_length()
    return f"set value_range, for example to 0,{2**bits - 1} for {bits} bits, or to minmax"


def _color(image: NDArray[Any] | None) -> NDArray[Any]:
    """The image without alpha. Raises: ImageError."""
    if image is None:
        raise ImageError("there is no input image: the file could not be decoded, or nothing is connected")
    if image.size == 0:
        raise ImageError(f"the input image is empty: its shape is {image.shape}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(
            f"the input image has the shape {image.shape}: expected H x W or H x W x C with 1 to 4 channels last"
        )
    return image if image.ndim == 2 else image[..., : 3 if image.shape[2] >= 3 else 1]


def _to_uint8(pixels: NDArray[Any], value_range: ValueRange) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8 and value_range == AUTO:
        return pixels
    low, high = value_range.of(Values._of_pixels(pixels))
    # float32 holds every integer of 16 bits; what is wider is scaled in 64.
    scaled = pixels.astype(np.result_type(pixels.dtype, np.float32))
    scaled -= low
    scaled *= 255 / (high - low) if high > low else 0
    return np.asarray(np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled), np.uint8)
