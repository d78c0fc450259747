"""Quantize a model folder to int8: `python -m infer_torchvision_resnext quantize MODEL_FOLDER IMAGES`.

Calibrates and measures on a folder of the user's own images; see `resnext/network/quantization.py`. int8 is never
chosen by `auto`; it must be asked for with `precision = int8`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..resnext.folder.model_folder import ModelFolderError, model_folder_of, read_config
from ..resnext.folder.quantization import CALIBRATION, Validation, quantize
from ..resnext.host.fields import MAX_DROP
from ..resnext.images.files import read_image
from ..resnext.images.listing import Skipped, list_images
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import ImageError, RGBImage, ValueRange


def crops_of(files: Sequence[Path], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The files' crops as the model wants them, N x S x S x 3. Raises: ImageError, with the file's name."""
    return np.stack([preprocessing.crop(_read(file, preprocessing.value_range)) for file in files])


def _read(file: Path, value_range: ValueRange) -> RGBImage:
    try:
        return read_image(file, value_range)
    except ImageError as error:
        raise ImageError(f"{file}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="infer_torchvision_resnext quantize", description=__doc__)
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("images", type=Path, help="a folder; sub-folders named as the labels give the true classes")
    parser.add_argument("--max-drop", type=float, default=MAX_DROP, help="how much worse int8 may be, as a fraction")
    given = parser.parse_args(arguments)
    folder = model_folder_of(given.model_folder)
    try:
        config = read_config(folder)
    except ModelFolderError as error:
        parser.error(str(error))
    if not given.images.is_dir():
        parser.error(f"{given.images} is not a folder of images")
    skipped = Skipped()
    files = [given.images / name for name in list_images(given.images, skipped, links_out=True)]
    for sentence in skipped.sentences():
        print(sentence, file=sys.stderr)
    if len(files) < 2:
        parser.error(f"{given.images} holds {len(files)} images: at least two are needed")
    # Every second image, so that both parts hold all classes.
    calibration, validation = files[::2], files[1::2]
    # Sorted by class, so that a stride takes of all of them.
    calibration = calibration[:: -(-len(calibration) // CALIBRATION)]
    known = all(file.parent.name in config.label_names for file in validation)
    targets = [config.label_names.index(file.parent.name) for file in validation] if known else None
    report = quantize(
        folder,
        crops_of(calibration, config.preprocessing)[:, None],
        Validation([crops_of(validation, config.preprocessing)], targets),
        given.max_drop,
    )
    print(report)
    return 0 if report.kept else 1
