"""Preprocessing alone: this plugin beside torchvision's and OpenCV's.

Run alone with `python -m benchmarks resizing`.
"""

from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.interleaved import time_in_turns
from benchmarks.speed import ONE_MEGAPIXEL, TWELVE_MEGAPIXELS, frame
from examples.ikomia_home import use_own_home
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing

ROUNDS = 15
PIL = "torchvision's, PIL"


def main() -> list[dict[str, Any]]:
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other
    import cv2
    from torchvision.transforms import functional

    preprocessing, rows = Preprocessing(), []

    def reference(image: np.ndarray) -> np.ndarray:
        resized = functional.resize(Image.fromarray(image), [256])
        return np.asarray(functional.center_crop(resized, [224]))

    for size, shape in (("1 MP", ONE_MEGAPIXEL), ("12 MP", TWELVE_MEGAPIXELS)):
        noise = np.random.default_rng(0).normal(0, 5, (*shape, 3)).astype(np.float32)
        image = np.clip(frame(*shape) + noise, 0, 255).astype(np.uint8)
        ways = {
            PIL: lambda image=image: reference(image),
            "this plugin": lambda image=image: preprocessing.crop(image),
            "cv2.resize to the square": lambda image=image: cv2.resize(image, (224, 224)),
        }
        expected = reference(image).astype(float)
        timings = time_in_turns(ways, ROUNDS)
        for name, way in ways.items():
            rows.append(
                {
                    "image": size,
                    "what": name,
                    "ms, median (quartiles)": str(timings[name]),
                    "of PIL": f"{timings[name].over(timings[PIL]):.2f}",
                    "mean deviation, in 1/255": f"{np.abs(way() - expected).mean():.3f}",
                }
            )
    return rows
