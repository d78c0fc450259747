"""The picture a person looks at: boxes and captions, readable on any image from one pixel to a hundred megapixels."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..answers.predictions import Prediction
from ..answers.regions import Box
from ..resnext.images.rgb import RGBImage, to_rgb
from ..resnext.machine.printable import shown
from .caption_layout import Layout
from .fonts import lettering

SMALLEST_PICTURE = 320
"""Smaller images are enlarged until their long side has at least this many pixels."""

TEXT_FRACTION = 0.035
"""Height of the captions, as a fraction of the picture's short side."""

SMALLEST_TEXT = 13
LONGEST_LABEL = 32

SHORTER_LABELS = (16, 8)
"""Characters of a label where there is no room for more."""

GREY = (96, 96, 96)

OPACITY = 0.7
"""Of a map where it is largest."""

GLOW = (0, 128, 255), ((0, 0, 160), (200, 0, 200), (255, 40, 60))
"""Levels of a map and their colors; those between are mixed."""

PALETTE = (
    np.stack([np.interp(range(256), GLOW[0], each) for each in zip(*GLOW[1], strict=True)], 1)
    .astype(np.uint8)
    .tobytes()
)

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Annotation:
    """A caption for the whole image, or for a box of it.

    Attributes:
        shorter: texts for a crowded picture, the longest first.
    """

    text: str
    color: Color
    box_xywh: Box | None = None
    shorter: tuple[str, ...] = ()

    @classmethod
    def of(cls, prediction: Prediction, box_xywh: Box | None = None) -> "Annotation":
        shorter = (*(caption(prediction, characters) for characters in SHORTER_LABELS), _name(prediction))
        return cls(caption(prediction), color_of(prediction.index), box_xywh, shorter)


def caption(prediction: Prediction, longest_label: int = LONGEST_LABEL) -> str:
    """Short text for the picture, for example `tabby cat 93.1 %` or `unknown: tabby cat? 82 %`.

    Args:
        longest_label: characters; longer labels are cut.
    """
    if prediction.doubt and not prediction.labels:
        return f"{prediction.answer} ({prediction.doubt.kind})"
    label = _cut(prediction.labels[0], longest_label)
    if prediction.doubt:
        return f"{prediction.answer}: {label}? {100 * prediction.probability:.0f} %"
    return f"{label} {100 * prediction.probability:.1f} %"


def _name(prediction: Prediction) -> str:
    """The shortest caption: the answer alone."""
    return _cut(prediction.answer, SHORTER_LABELS[-1])


def _cut(label: str, longest: int) -> str:
    label = shown(label)
    return label if len(label) <= longest else label[: longest - 3].rstrip() + "..."


def color_of(index: int | None) -> Color:
    """A class's color: the same in every run, well apart for neighboring indices; gray for `unknown`."""
    if index is None:
        return GREY
    hue = index * (math.sqrt(5) - 1) / 2 % 1
    return tuple(round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.75, 0.7))  # type: ignore[return-value]


def colors_of(labels: Sequence[str]) -> list[list[int]]:
    """The host's color table for these classes."""
    return [list(color_of(index)) for index in range(len(labels))]


def host_font_size(text: str, width: int, height: int) -> int:
    """Point size at which the host's own drawing fits the text into `width` and keeps it in proportion to the image.

    The host draws with OpenCV's Hershey font: 30 points are letters about 22 pixels high and 19 wide.
    """
    high = max(SMALLEST_TEXT, TEXT_FRACTION * min(width, height)) * 30 / 22
    wide = 0.95 * width / max(1, len(text)) * 30 / 19
    return max(1, math.floor(min(high, wide)))


def draw(
    image: NDArray[Any],
    annotations: Sequence[Annotation],
    heat: NDArray[np.uint8] | None = None,
    seen: Sequence[Box] = (),
) -> RGBImage:
    """Draw on a copy of the image.

    Args:
        image: any image that `to_rgb` takes.
        annotations: boxes in pixels of the image.
        heat: height x width, as `heat_of` gives it; laid over the image below everything else.
        seen: boxes in whole pixels, of what the network saw; outlined.

    Returns:
        RGB, uint8. Small images are enlarged, and where a caption of the whole image would cover much of it or does
        not fit, it stands on a strip above. Captions of boxes are moved and shortened so that none covers another;
        those without any room are left out, and the picture says how many.
    """
    canvas = _Canvas(to_rgb(image))
    if heat is not None:
        canvas.heat(heat)
    for box in seen:
        canvas.outline(box)
    for annotation in annotations:
        if annotation.box_xywh is None:
            canvas.title(annotation)
    canvas.boxes([(annotation, annotation.box_xywh) for annotation in annotations if annotation.box_xywh])
    return np.asarray(canvas.picture)


class _Canvas:
    """A picture and what is the same for every mark on it."""

    def __init__(self, frame: RGBImage) -> None:
        self.scale = max(1, math.ceil(SMALLEST_PICTURE / max(frame.shape[:2])))
        picture = Image.fromarray(np.ascontiguousarray(frame))
        size = (picture.width * self.scale, picture.height * self.scale)
        self.picture = picture.resize(size, Image.Resampling.NEAREST)
        self.text_height = text_height_of(size)

    def heat(self, heat: NDArray[np.uint8]) -> None:
        levels = Image.fromarray(heat).resize(self.picture.size, Image.Resampling.BILINEAR)
        opacity = levels.point([round(OPACITY * level) for level in range(256)])
        levels.putpalette(PALETTE)
        self.picture.paste(levels.convert("RGB"), mask=opacity)

    def outline(self, box_xywh: Box) -> None:
        """A white line within a black one, of which one shows on any ground; both lie inside the box."""
        x, y, width, height = (self.scale * value for value in box_xywh)
        line = max(1, round(self.text_height / 16))
        pen = ImageDraw.Draw(self.picture)
        for color, inset in (((0, 0, 0), 0), ((255, 255, 255), line)):
            right, bottom = x + width - 1 - inset, y + height - 1 - inset
            pen.rectangle(
                (x + inset, y + inset, max(x + inset, right), max(y + inset, bottom)), outline=color, width=line
            )

    def title(self, annotation: Annotation) -> None:
        width, height = _label_size(annotation.text, self.text_height)
        if width > self.picture.width or 4 * height > self.picture.height:
            size = (max(width, self.picture.width), self.picture.height + height)
            with_strip = Image.new("RGB", size, (255, 255, 255))
            with_strip.paste(self.picture, (0, height))
            self.picture = with_strip
        self._label(annotation, 0, 0)

    def boxes(self, marks: Sequence[tuple[Annotation, Box]]) -> None:
        """Draw boxes, and on top of all of them their captions."""
        pen = ImageDraw.Draw(self.picture)
        line = max(2, round(self.text_height / 8))
        scaled: list[tuple[Annotation, Box]] = []
        for annotation, box_xywh in marks:
            x, y, width, height = (self.scale * value for value in box_xywh)
            pen.rectangle((x, y, max(x, x + width - 1), max(y, y + height - 1)), outline=annotation.color, width=line)
            scaled.append((annotation, (x, y, width, height)))
        for annotation, (left, top, _, _) in placed_captions(scaled, self.picture.size):
            self._label(annotation, left, top)

    def _label(self, annotation: Annotation, x: float, y: float) -> None:
        width, height = _label_size(annotation.text, self.text_height)
        pen = ImageDraw.Draw(self.picture)
        pen.rectangle((x, y, x + width - 1, y + height - 1), fill=annotation.color)
        middle = (x + width / 2, y + height / 2)
        drawn = lettering(annotation.text, self.text_height)
        pen.text(middle, drawn.text, fill=(255, 255, 255), font=drawn.font, anchor="mm")


def placed_captions(
    marks: Sequence[tuple[Annotation, Box]], picture: tuple[int, int]
) -> list[tuple[Annotation, tuple[int, int, int, int]]]:
    """The captions of boxes as they are drawn, each with its rectangle: left, top, width and height; none overlap.

    Args:
        marks: with boxes in pixels of the picture.
        picture: width and height in pixels.

    Returns:
        Annotations with the text that fits. If some have no room at all, a first one says how many.
    """
    if not marks:
        return []
    most = max(len(annotation.shorter) for annotation, _ in marks)
    texts = [_repeated((annotation.text, *annotation.shorter), 1 + most) for annotation, _ in marks]
    height = text_height_of(picture)
    sizes = [[_label_size(text, height) for text in options] for options in texts]
    layout = Layout([box for _, box in marks], sizes, picture)
    places = layout.place()
    captions = []
    if None in places:
        note_width, note_height = _label_size(_omitted(len(places)), height)
        corner = (0, max(0, picture[1] - note_height), note_width, note_height)
        places = layout.place(taken=[corner])
        captions.append((Annotation(_omitted(places.count(None)), GREY), corner))
    for (annotation, _), options, own_sizes, place in zip(marks, texts, sizes, places, strict=True):
        if place:
            rectangle = (place.left, place.top, *own_sizes[place.text])
            captions.append((replace(annotation, text=options[place.text]), rectangle))
    return captions


def text_height_of(picture: tuple[int, int]) -> int:
    """Height of captions in pixels, for a picture's width and height."""
    return max(SMALLEST_TEXT, round(TEXT_FRACTION * min(picture)))


def _label_size(text: str, text_height: int) -> tuple[int, int]:
    """Width and height of a caption with its margin, in pixels."""
    drawn = lettering(text, text_height)
    return math.ceil(drawn.font.getlength(drawn.text) + 0.8 * text_height), math.ceil(1.5 * text_height)


def _repeated(texts: tuple[str, ...], count: int) -> tuple[str, ...]:
    """The texts and as many more of the last as make `count`."""
    return (*texts, *texts[-1:] * (count - len(texts)))


def _omitted(count: int) -> str:
    return f"{count} {'caption' if count == 1 else 'captions'} left out"
