"""Where the network looked: what each place in an image adds to the logit of a class.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016. Features are means over all places and
the classifier is linear, so that the mean of a map and the bias are the logit: nothing is estimated.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..resnext.host.schema import ParameterError
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.triangle_filter import Stretch
from .regions import Box

NAMED = 10
"""Labels that the message about an unknown one lists."""


@dataclass(frozen=True)
class ActivationMap:
    """A class's, of the square that the network saw.

    Attributes:
        label: of the class.
        index: of the class.
        bias: of the class; with the mean of the values it adds up to the logit, before any temperature.
        values: float32, h x h, in logits.
    """

    label: str
    index: int
    bias: float
    values: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"label": self.label, "index": self.index, "bias": self.bias, "values": self.values.tolist()}


class Mapper:
    """Makes maps.

    Args:
        labels: in index order.
        weight: float32, C x F, of the classifier.
        bias: float32, C.
        map_class: the label whose maps are made; empty = whichever class is asked for.

    Raises:
        ParameterError: there is no such label.
    """

    def __init__(
        self, labels: Sequence[str], weight: NDArray[np.float32], bias: NDArray[np.float32], map_class: str
    ) -> None:
        if map_class and map_class not in labels:
            known = ", ".join(labels[:NAMED]) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
            raise ParameterError(
                [f"map_class = {map_class!r}: must be one of the model's labels ({known}), or empty for the answer's"]
            )
        self._labels, self._weight, self._bias = labels, weight, bias
        self._index = labels.index(map_class) if map_class else None

    def of(self, activations: NDArray[np.float32], best: int) -> ActivationMap:
        """The map of one image; F x h x h activations.

        Args:
            best: the class to ask about, unless one was chosen.
        """
        index = best if self._index is None else self._index
        values = np.tensordot(self._weight[index], activations, axes=1)
        return ActivationMap(self._labels[index], index, float(self._bias[index]), values)


def heat_of(
    maps: Iterable[tuple[ActivationMap, Box]], preprocessing: Preprocessing, width: int, height: int
) -> NDArray[np.uint8]:
    """Lay maps over a frame, interpolated linearly between the pixels that their cells are centered on.

    Args:
        maps: each with the view that it is of: a box in the frame, in whole pixels.

    Returns:
        uint8, height x width. 255 is where an image's or object's own map is largest, 0 where it is not positive or the
        network saw nothing. Where objects overlap, the larger value stands.
    """
    frame = np.zeros((height, width), np.uint8)
    for found, box in maps:
        left, top, seen_width, seen_height = seen_of(box, preprocessing)
        view = frame[top : top + seen_height, left : left + seen_width]
        np.maximum(view, _enlarged(found.values, preprocessing.crop_size, view.shape), out=view)
    return frame


def seen_of(view: Box, preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """The part of a view that the network sees, in the frame's whole pixels.

    Args:
        view: a box in the frame, in whole pixels.
    """
    left, top, width, height = map(int, view)
    shown = zip(preprocessing.shown(height, width), (height, width), strict=True)
    rows, columns = (_pixels(each, length) for each, length in shown)
    return left + columns.start, top + rows.start, columns.stop - columns.start, rows.stop - rows.start


def _enlarged(values: NDArray[np.float32], side: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A map, h x h, of a square of so many pixels → levels of that square, stretched to height x width."""
    # All that makes an image smaller in the network is centered on every second pixel, beginning with the first.
    stride = 2 ** math.ceil(math.log2(side / len(values)))
    begin = (1 - 1 / stride) / 2
    end = begin + side / stride
    cells = Image.fromarray(np.pad(_levels(values), (0, 1), mode="edge"))
    return np.asarray(cells.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, (begin, begin, end, end)))


def _levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    positive = values.clip(min=0)
    return np.rint(positive * (255 / (positive.max() or 1))).astype(np.uint8)


def _pixels(shown: Stretch, length: int) -> slice:
    # Of a side that is shown whole, the end can be rounded to beyond it.
    return slice(math.floor(shown.start), min(math.ceil(shown.stop), length))
