"""The OpenCV that Ikomia brings, or one that was installed beside it."""

import importlib
from typing import Any


def opencv() -> Any:
    """The module `cv2`, imported when it is needed: Ikomia's own must come before any other. Raises: ImportError."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise ImportError(
            "OpenCV is missing, with which images are decoded as Ikomia does, and large ones shrunk: import ikomia "
            "first, which brings its own, or install opencv-python-headless where there is no Ikomia"
        ) from error
