"""The 50 answers that are least sure, as a sheet of pictures: `python -m examples.least_sure OUTPUT INPUT sheet.png`.

OUTPUT is a Parquet table that `python -m infer_torchvision_resnext classify INPUT OUTPUT` wrote of a folder.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from infer_torchvision_resnext.drawing.annotation import GREY, SMALLEST_PICTURE, Annotation, draw
from infer_torchvision_resnext.resnext.images.files import read_image
from infer_torchvision_resnext.resnext.images.opencv import import_ikomia

COUNT, COLUMNS, SIDE = 50, 10, 200


def least_sure(table: Path, count: int = COUNT) -> list[dict[str, object]]:
    """`path`, `answer` and `probability` of the rows with the lowest probability, the lowest first."""
    from pyarrow import dataset

    rows = dataset.dataset(table, format="parquet")
    answered = rows.to_table(columns=["path", "answer", "probability"], filter=dataset.field("error").is_null())
    found: list[dict[str, object]] = answered.sort_by("probability").slice(0, count).to_pylist()
    return found


def sheet(rows: list[dict[str, object]], folder: Path) -> NDArray[np.uint8]:
    """The rows' pictures side by side, each in a square with its answer; RGB uint8."""
    pictures = [_square(folder / str(row["path"]), f"{row['answer']} {row['probability']:.0%}") for row in rows]
    blank = np.zeros_like(pictures[0])
    pictures += [blank] * (-len(pictures) % COLUMNS)
    lines = [np.hstack(pictures[begin : begin + COLUMNS]) for begin in range(0, len(pictures), COLUMNS)]
    return np.vstack(lines)


def _square(file: Path, text: str) -> NDArray[np.uint8]:
    small = ImageOps.contain(Image.fromarray(read_image(file)), (SMALLEST_PICTURE, SMALLEST_PICTURE))
    captioned = Image.fromarray(draw(np.asarray(small), [Annotation(text, GREY)]))
    return np.asarray(ImageOps.pad(captioned, (SIDE, SIDE)))


def main(table: str, folder: str, picture: str) -> None:
    import_ikomia()
    rows = least_sure(Path(table))
    Image.fromarray(sheet(rows, Path(folder))).save(picture)
    for row in rows:
        print(f"{row['probability']:7.1%}  {row['answer']:<20}  {row['path']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
