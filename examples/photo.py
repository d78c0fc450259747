"""A photo with boxes, maps and an `unknown`, without a download: `python -m examples.photo [folder for the picture]`.

ImageNet's weights are not shipped, so a small network learns four classes from patches of scikit-learn's photo of a
tower. It then classifies boxes in parts of that photo that it never saw, and in another photo, whose flower is none of
its classes.
"""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.ikomia_home import DEMO, use_own_home
from examples.train_digits import RECIPE, track_in_files_only

use_own_home()

from ikomia import dataprocess  # noqa: E402  (reads the home when it is imported)
from ikomia.dataprocess.workflow import Workflow  # noqa: E402

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

TRAINING_AREAS: dict[str, tuple[Box, ...]] = {
    "sky": ((330, 0, 170, 190),),
    "tower": ((90, 100, 110, 250),),
    "trees": ((330, 330, 190, 97), (110, 360, 90, 67)),
    "lake": ((355, 235, 85, 80),),
}
"""Where patches are cut from; no box below overlaps them."""

PHOTO_BOXES: tuple[Box, ...] = ((205, 110, 115, 235), (550, 150, 90, 270), (450, 240, 90, 45), (510, 20, 110, 100))
FLOWER_BOXES: tuple[Box, ...] = ((165, 80, 285, 280),)

PATCHES = 160
"""For each class."""
SIDES = (40, 65)
"""Smallest side of a patch, and the first that is too large."""


class Boxes(dataprocess.C2dImageTask):  # type: ignore[misc]
    """Stands for a detector: its boxes are given."""

    def __init__(self, boxes: tuple[Box, ...]) -> None:
        dataprocess.C2dImageTask.__init__(self, "boxes")
        self.boxes = boxes
        self.add_output(dataprocess.CObjectDetectionIO())

    def run(self) -> None:
        self.begin_task_run()
        self.forward_input_image(0, 0)
        output = self.get_output(1)
        output.init("boxes", 0)
        for index, box in enumerate(self.boxes):
            output.add_object(index, "object", 1.0, *map(float, box), [0, 255, 0])
        self.end_task_run()


def write_patches(photo: NDArray[np.uint8], folder: Path) -> None:
    """Cut random squares out of the areas of each class."""
    shutil.rmtree(folder, ignore_errors=True)
    random = np.random.default_rng(0)
    for label, areas in TRAINING_AREAS.items():
        (folder / label).mkdir(parents=True)
        for number in range(PATCHES):
            x, y, width, height = areas[number % len(areas)]
            side = int(random.integers(*SIDES))
            left, top = x + int(random.integers(width - side + 1)), y + int(random.integers(height - side + 1))
            patch = photo[top : top + side, left : left + side]
            Image.fromarray(patch).save(folder / label / f"{number:03}.png")


def train(images: Path) -> str:
    """Train on the patches. Returns the model folder."""
    workflow = Workflow("patches")
    workflow.set_directory_input(folder=str(images))
    task = workflow.add_task(name="train_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    recipe = {**RECIPE, "horizontal_flip": True, "val_fraction": 0.2}
    task.set_parameters({**recipe, "output_folder": str(DEMO / "patches-training")})
    workflow.run()
    return str(task.get_output(0).get_path())


def classify(photo: NDArray[np.uint8], boxes: tuple[Box, ...], model: str) -> tuple[list[str], NDArray[np.uint8]]:
    """The answers for the boxes, and the picture with captions and maps, RGB uint8."""
    workflow = Workflow("photo")
    detector = Boxes(boxes)
    workflow.add_task(task=detector, auto_connect=True)
    task = workflow.add_task(name="infer_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    workflow.connect_tasks(detector, task, [(1, 1)])
    task.set_parameters({"weights": model, "maps": True})
    workflow.run_on(array=photo)
    answers = [prediction["answer"] for prediction in task.get_output(4).data["predictions"]]
    return answers, task.get_image_with_graphics()


def main(pictures: Path = DEMO / "pictures") -> list[list[str]]:
    """Train, classify both photos and write `photo_boxes.png`. Returns the answers of each photo."""
    from sklearn.datasets import load_sample_images

    logging.getLogger("ikomia").setLevel(logging.WARNING)
    track_in_files_only()
    tower, flower = load_sample_images().images
    write_patches(tower, DEMO / "patches")
    model = train(DEMO / "patches")
    results = [classify(tower, PHOTO_BOXES, model), classify(flower, FLOWER_BOXES, model)]
    pictures.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack([picture for _, picture in results])).save(pictures / "photo_boxes.png")
    for name, (answers, _) in zip(("tower", "flower"), results, strict=True):
        print(f"   {name}: {', '.join(answers)}")
    return [answers for answers, _ in results]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO / "pictures")
