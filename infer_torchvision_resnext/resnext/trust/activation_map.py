"""Where a network looked: the part that each place has in a class's logit.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016. The features of all places are
averaged and the classifier is linear, so that the mean of the map and the bias are the logit: nothing is estimated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..images.preprocessing import Preprocessing
from ..images.triangle_filter import Stretch


@dataclass(frozen=True)
class PlacedMap:
    """A map in the pixels of a frame.

    Attributes:
        values: float32, height x width, of the part of the frame that the network saw; in logits.
        box_xywh: where that part lies in the frame, in whole pixels.
    """

    values: NDArray[np.float32]
    box_xywh: tuple[int, int, int, int]


def activation_map(activation: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part of each place in a class's logit, in logits.

    Args:
        activation: F x h x w, the last convolutions' output, whose mean over the places is what is classified.
        weight: F, of the class.

    Returns:
        float32, h x w. Its mean and the class's bias add up to the logit.
    """
    if activation.ndim != 3 or weight.shape != activation.shape[:1]:
        raise ValueError(
            f"an activation of shape {activation.shape} and weights of shape {weight.shape}: expected F x h x w and F"
        )
    return np.asarray(np.tensordot(weight, activation, axes=1), np.float32)


def place(values: NDArray[np.float32], preprocessing: Preprocessing, height: int, width: int) -> PlacedMap:
    """Lay a map over the image that was looked at, interpolated linearly between the middles of its cells.

    Args:
        values: h x w, of the square that `preprocessing` made of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    rows, columns = preprocessing.shown(height, width)
    (top, down), (left, across) = _weights(rows, values.shape[0], height), _weights(columns, values.shape[1], width)
    placed = np.asarray(down @ values @ across.T, np.float32)
    return PlacedMap(placed, (left, top, placed.shape[1], placed.shape[0]))


def _weights(shown: Stretch, cells: int, length: int) -> tuple[int, NDArray[np.float32]]:
    """The first pixel shown, and what the cells count for in each pixel from there on: pixels x cells."""
    first, last = max(0, int(np.floor(shown.start))), min(length, int(np.ceil(shown.stop)))
    pixels = np.arange(first, last) + 0.5
    place = (pixels - shown.start) / (shown.stop - shown.start) * cells - 0.5
    place = place.clip(0, cells - 1)
    below = np.minimum(place.astype(int), max(0, cells - 2))
    share = place - below
    weights = np.zeros((len(pixels), cells), np.float32)
    rows = np.arange(len(pixels))
    weights[rows, below] = 1 - share
    if cells > 1:
        weights[rows, below + 1] = share
    return first, weights
