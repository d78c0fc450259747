"""Where captions stand in a picture: each beside its box or inside it, none over another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..answers.regions import Box

Rectangles = NDArray[np.float64]
"""... x 4: left, top, right and bottom in pixels; right and bottom lie outside."""

MANY_BOXES = 300
"""With more boxes than this, captions are not kept off other boxes: that takes the square of their number."""


@dataclass(frozen=True)
class Place:
    """Where a caption stands.

    Attributes:
        text: index of its text, 0 = the longest.
        left, top: pixels.
    """

    text: int
    left: int
    top: int


class Layout:
    """The places that captions can have in a picture. The same input gives the same places.

    Args:
        boxes: at least one, in pixels; earlier ones are served first.
        sizes: width and height of each caption's texts, the longest first, equally many for all.
        picture: width and height; captions stay inside where they fit.
    """

    def __init__(
        self, boxes: Sequence[Box], sizes: Sequence[Sequence[tuple[int, int]]], picture: tuple[int, int]
    ) -> None:
        self._room = picture[0] * picture[1]
        texts = np.array(sizes, float)
        self._areas = texts.prod(axis=2).sum(axis=0)
        self._candidates = _candidates(_corners(boxes), texts, picture)
        # In quarters of the caption, so that a pixel less does not outweigh the usual place.
        covered = _covered(self._candidates, _corners(boxes)) / texts.prod(axis=2)[..., None]
        self._covered = np.floor(4 * covered)

    def place(self, taken: Sequence[Box] = ()) -> list[Place | None]:
        """A place for each caption; None where there is no room.

        All captions have their longest text if that leaves room for all of them, else the next shorter one.

        Args:
            taken: where no caption may stand.
        """
        best: list[Place | None] = []
        for longest in range(len(self._areas)):
            shorter_remain = longest < len(self._areas) - 1
            if self._areas[longest] > self._room and shorter_remain:
                continue
            places = self._serve(_corners(taken), longest)
            if not best or places.count(None) < best.count(None):
                best = places
            if None not in best:
                break
        return best

    def _serve(self, taken: Rectangles, longest: int) -> list[Place | None]:
        """Give one caption after another the free candidate that covers least of the boxes."""
        occupied = np.vstack([taken, np.empty((len(self._candidates), 4))])
        count = len(taken)
        places: list[Place | None] = []
        for own, covered in zip(self._candidates, self._covered, strict=True):
            place = None
            for text in range(longest, len(own)):
                free = ~_overlaps(own[text], occupied[:count])
                if free.any():
                    chosen = own[text, np.where(free, covered[text], np.inf).argmin()]
                    place = Place(text, int(chosen[0]), int(chosen[1]))
                    occupied[count] = chosen
                    count += 1
                    break
            places.append(place)
        return places


def _candidates(boxes: Rectangles, texts: NDArray[np.float64], picture: tuple[int, int]) -> Rectangles:
    """N x T x K x 4: for each of N boxes and T texts the places at the box, the usual ones first."""
    left, top, right, bottom = (boxes[:, None, side] for side in range(4))
    width, height = texts[..., 0], texts[..., 1]
    middle = (left + right - width) / 2
    # In steps from where the caption just touches the box on one side to where it does on the other.
    shifted = [left - width + share * (right - left + width) for share in (0.3, 0.7, 0.15, 0.85)]
    columns = [left + 0 * width, right - width, middle, *shifted]
    above, below = top - height, bottom + 0 * height
    beside = [(right + 0 * width, top + 0 * height), (left - width, top + 0 * height)]
    beside += [(right + 0 * width, bottom - height), (left - width, bottom - height)]
    center = (top + bottom - height) / 2
    beside += [(right + 0 * width, center), (left - width, center), (middle, center)]
    inside = [(column, row) for row in (top + 0 * height, bottom - height) for column in columns[:3]]
    diagonal = [(column, row) for row in (above, below) for column in (left - width, right + 0 * width)]
    corners = [(column, row) for row in (above, below) for column in columns] + beside + inside + diagonal
    x = np.stack([each for each, _ in corners], axis=-1)
    y = np.stack([each for _, each in corners], axis=-1)
    x = np.floor(np.maximum(0, np.minimum(x, picture[0] - width[..., None])))
    y = np.floor(np.maximum(0, np.minimum(y, picture[1] - height[..., None])))
    return np.stack([x, y, x + width[..., None], y + height[..., None]], axis=-1)


def _covered(candidates: Rectangles, boxes: Rectangles) -> NDArray[np.float64]:
    """N x T x K: pixels of boxes that lie under each candidate; those of boxes that overlap count for each."""
    covered = np.zeros(candidates.shape[:-1])
    if len(boxes) > MANY_BOXES:
        return covered
    for place, own in zip(covered, candidates, strict=True):
        widths = np.minimum(own[..., 2, None], boxes[:, 2]) - np.maximum(own[..., 0, None], boxes[:, 0])
        heights = np.minimum(own[..., 3, None], boxes[:, 3]) - np.maximum(own[..., 1, None], boxes[:, 1])
        place[:] = (widths.clip(min=0) * heights.clip(min=0)).sum(axis=-1)
    return covered


def _overlaps(candidates: Rectangles, occupied: Rectangles) -> NDArray[np.bool_]:
    """Which of K candidates overlap any of M rectangles: K."""
    left, top, right, bottom = candidates.T[..., None]
    beside = (left >= occupied[:, 2]) | (right <= occupied[:, 0])
    return np.asarray((~(beside | (top >= occupied[:, 3]) | (bottom <= occupied[:, 1]))).any(axis=1))


def _corners(boxes: Sequence[Box]) -> Rectangles:
    rectangles = np.array(boxes, float).reshape(-1, 4)
    rectangles[:, 2:] += rectangles[:, :2]
    return rectangles
