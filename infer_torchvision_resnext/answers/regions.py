"""Boxes, polygons and masks that a detector found → views of the frame.

The host hands over graphics items. A detector's or segmenter's items come in groups, closed by a text item such as
`dog #3: 0.871000`; an instance of a segmentation has a box and several outlines in its group, and is one object.
Items without such a text (of `ik_binary_to_graphics`, or drawn by hand) are an object each.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..resnext.images.rgb import RGBImage

SMALLEST_SIDE = 2
"""Pixels. Smaller views are not classified, as in the host's own cropping."""

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels of the frame; x and y of the top left corner."""


@dataclass(frozen=True)
class GraphicsItem:
    """A graphics item of the host, as far as regions need it. `kind` is the host's name, for example `RECTANGLE`."""

    kind: str
    box_xywh: Box
    text: str = ""


@dataclass(frozen=True)
class Region:
    """An object in the frame.

    Attributes:
        box_xywh: as the detector gave it, unclipped.
        object_id: the detector's, or the ordinal where it gave none.
        detected: the detector's label; empty where it gave none.
        has_id: whether the detector gave one.
    """

    box_xywh: Box
    object_id: int
    detected: str = ""
    has_id: bool = True

    def pixels(self, width: int, height: int, margin: float = 0.0) -> Box | None:
        """The part of the frame to look at, in whole pixels; None where less than 2 x 2 of them remain.

        The box is grown by `margin` of its size on every side, widened to pixel borders and cut to the frame.
        """
        x, y, box_width, box_height = self.box_xywh
        left = max(0, math.floor(x - margin * box_width))
        top = max(0, math.floor(y - margin * box_height))
        right = min(width, math.ceil(x + box_width * (1 + margin)))
        bottom = min(height, math.ceil(y + box_height * (1 + margin)))
        if right - left < SMALLEST_SIDE or bottom - top < SMALLEST_SIDE:
            return None
        return (left, top, right - left, bottom - top)


def view(frame: RGBImage, box_xywh: Box) -> RGBImage:
    """The box's pixels, without a copy. The box must lie in the frame, in whole pixels."""
    x, y, width, height = map(int, box_xywh)
    return frame[y : y + height, x : x + width]


def regions_of(items: Iterable[GraphicsItem]) -> list[Region]:
    """Group the host's items into objects, in their order; those without a caption come last.

    A box that is not finite is nowhere, and becomes one without extent.
    """
    regions: list[Region] = []
    pending: list[GraphicsItem] = []
    alone: list[list[GraphicsItem]] = []
    for item in items:
        caption = re.fullmatch(r"(.*) #(-?\d+): [-+.\deinfa]+", item.text, re.DOTALL) if item.kind == "TEXT" else None
        if caption and pending:
            *before, own = _instances(pending)
            alone += before
            regions.append(Region(_finite(_enclosing(own)), int(caption[2]), caption[1]))
            pending = []
        elif item.kind in AREAS:
            pending.append(item)
    first_id = max((region.object_id for region in regions), default=-1) + 1
    alone += [[item] for item in pending]
    regions += [
        Region(_finite(_enclosing(items)), first_id + ordinal, has_id=False) for ordinal, items in enumerate(alone)
    ]
    return regions


def _instances(items: Sequence[GraphicsItem]) -> list[list[GraphicsItem]]:
    """What stands before a caption, an instance each: a box begins one, outlines belong to the box before them.

    The caption is that of the last; boxes before it were drawn without one.
    """
    instances: list[list[GraphicsItem]] = []
    for item in items:
        if not instances or (item.kind == "RECTANGLE" and any(each.kind == "RECTANGLE" for each in instances[-1])):
            instances.append([])
        instances[-1].append(item)
    return instances


AREAS = ("RECTANGLE", "ELLIPSE", "POLYGON", "COMPLEX_POLYGON")
"""Items that enclose something; points, polylines and texts do not."""


def _finite(box: Box) -> Box:
    return box if all(math.isfinite(value) for value in box) else (0, 0, 0, 0)


def _enclosing(items: Sequence[GraphicsItem]) -> Box:
    """The detector's own box where it drew one, else the box around all outlines."""
    for item in items:
        if item.kind == "RECTANGLE":
            return item.box_xywh
    left = min(item.box_xywh[0] for item in items)
    top = min(item.box_xywh[1] for item in items)
    right = max(item.box_xywh[0] + item.box_xywh[2] for item in items)
    bottom = max(item.box_xywh[1] + item.box_xywh[3] for item in items)
    return (left, top, right - left, bottom - top)
