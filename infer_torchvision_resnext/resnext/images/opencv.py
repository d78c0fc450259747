"""OpenCV, which must be Ikomia's own where Ikomia is installed: two of them in one process break each other."""

import importlib
import os
from contextlib import suppress
from typing import Any


def opencv() -> Any:
    """The module `cv2`, imported when it is needed. Raises: ImportError."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise ImportError(
            "OpenCV is missing, with which images are decoded as Ikomia does, and large ones shrunk: import ikomia "
            "first, which brings its own, or install opencv-python-headless where there is no Ikomia"
        ) from error


def import_ikomia() -> None:
    """Let Ikomia bring its OpenCV, in a process that it did not start; without Ikomia another one serves."""
    os.environ.setdefault("IKOMIA_AUTO_COMPLETION", "False")
    with suppress(ImportError):
        importlib.import_module("ikomia")
