"""The surest mistakes: often a wrong label, a rare view, or two classes in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..resnext.images.files import content_of, decode
from ..resnext.images.rgb import AUTO, ImageError, ValueRange, to_rgb
from ..resnext.machine.printable import shown
from .answers import Answers
from .charts import INK, MUTED, RIGHT, WRONG, label_style, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6
TILES = 24
TILE_PIXELS = 300
MINMAX = ValueRange("minmax")
TILE_INCHES, TEXT_INCHES, HEAD_INCHES = 2.0, 0.6, 0.4


@dataclass(frozen=True)
class Answer:
    """What the network said of one image.

    Attributes:
        probability: of the predicted class, in [0, 1].
        true_probability: of the true class, in [0, 1].
    """

    file: Path
    true: str
    predicted: str
    probability: float
    true_probability: float

    @property
    def right(self) -> bool:
        return self.true == self.predicted

    @property
    def name(self) -> str:
        """The file with its folder, which is how images are found again in a tree of classes."""
        return shown(f"{self.file.parent.name}/{self.file.name}" if self.file.parent.name else self.file.name)


def ranked(answers: Answers) -> list[Answer]:
    """Every image's answer: the mistakes first, the surest of them on top, then the rest, the least sure on top."""
    predicted, targets = answers.predicted, answers.targets
    best, true = answers.probability_of(predicted), answers.probability_of(targets)
    wrong = predicted != targets
    order = np.lexsort((np.where(wrong, -best, best), ~wrong))
    paths, labels = answers.paths, answers.labels
    return [
        Answer(paths[row], labels[targets[row]], labels[predicted[row]], float(best[row]), float(true[row]))
        for row in order
    ]


def grid(worst: Sequence[Answer]) -> "Figure":
    """Pictures of the first of these answers, with file name, true and predicted label and probability.

    Args:
        worst: at least one, as `ranked` orders them. Where none is a mistake, the least sure ones are shown.
    """
    mistakes = [answer for answer in worst if not answer.right][:TILES]
    shown = mistakes or list(worst[:COLUMNS])
    rows = -(-len(shown) // COLUMNS)
    figure = new_figure(COLUMNS * TILE_INCHES, HEAD_INCHES + rows * (TILE_INCHES + TEXT_INCHES))
    # Placed by hand: a layout engine would give long names room by shrinking the pictures.
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    title = "The surest mistakes" if mistakes else "No mistakes; the least sure answers"
    top = 1 - 0.1 / height
    figure.text(0.06 / width, top, title, va="top", fontweight="bold", fontsize=11, color=INK)
    for index, answer in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        bottom = height - HEAD_INCHES - row * (TILE_INCHES + TEXT_INCHES) - TILE_INCHES
        place = (column * TILE_INCHES + 0.06, bottom + 0.06, TILE_INCHES - 0.12, TILE_INCHES - 0.12)
        _tile(figure.add_axes((place[0] / width, place[1] / height, place[2] / width, place[3] / height)), answer)
    return figure


def _tile(axes: "Axes", answer: Answer) -> None:
    axes.set_axis_off()
    try:
        axes.imshow(_thumbnail(answer.file))
    except (ImageError, OSError):
        axes.imshow(np.full((TILE_PIXELS, TILE_PIXELS, 3), 238, np.uint8))
        axes.text(0.5, 0.5, "cannot be read", transform=axes.transAxes, ha="center", color=MUTED)
    lines = (
        (f"{short(answer.predicted, 14)}, {answer.probability:.1%}", 9, "bold", RIGHT if answer.right else WRONG),
        (f"true: {short(answer.true, 19)}", 9, "normal", INK),
        (short(shown(answer.file.name), 30), 7, "normal", MUTED),
    )
    for number, (line, size, weight, color) in enumerate(lines):
        place = (0, -0.03 - 0.09 * number)
        style = {"fontsize": size, "fontweight": weight, "color": color, **label_style()}
        axes.text(*place, line, transform=axes.transAxes, ha="left", va="top", **style)


def _thumbnail(file: Path) -> NDArray[np.uint8]:
    """The whole picture in the middle of a light square, TILE_PIXELS wide; small ones enlarged without blur."""
    pixels = decode(content_of(file))
    # For the eye, all that is in the file is shown.
    picture = Image.fromarray(np.ascontiguousarray(to_rgb(pixels, AUTO if pixels.dtype == np.uint8 else MINMAX)))
    scale = TILE_PIXELS / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smooth = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    square = Image.new("RGB", (TILE_PIXELS, TILE_PIXELS), (244, 246, 248))
    square.paste(picture.resize(size, smooth), ((TILE_PIXELS - size[0]) // 2, (TILE_PIXELS - size[1]) // 2))
    return np.asarray(square)
