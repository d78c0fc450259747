"""One graph from images to answers: a folder of handwritten digits → training → inference with the new model.

Run with `python -m examples.train_digits [folder to keep the model in]`. The model in `examples/models/digits` is
what that gives on two threads of an x86 processor, to the bit; the report stays in the run's own folder.
"""

import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from examples.digits import Digits, training_and_held_out, write_class_folders
from examples.ikomia_home import DEMO, use_own_home
from infer_torchvision_resnext.answers.predictions import UNKNOWN

use_own_home()

from ikomia import core, dataprocess  # noqa: E402  (reads the home when it is imported)
from ikomia.core import config  # noqa: E402
from ikomia.dataprocess.workflow import Workflow  # noqa: E402

RECIPE = {
    "weights": "none",
    "layers": "1,1",
    "cardinality": 8,
    "bottleneck_width": 4,
    "input_size": 32,
    "epochs": 20,
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "ema_decay": 0.98,
    "horizontal_flip": False,
    "val_fraction": 0.1,
    "export_pth": False,
}
"""A network of eight layers, trained from scratch; digits must not be mirrored."""

IMAGES, PHOTO = 0, 1
"""Inputs of the workflow."""


def write_images(folder: Path, digits: Digits) -> None:
    """The training part, as PNG files in a folder for each class; the task itself sets a tenth aside to validate."""
    shutil.rmtree(folder, ignore_errors=True)
    write_class_folders(digits, folder, places=4)


def build(images: Path) -> tuple[Workflow, Any, Any]:
    """The graph: the folder goes to training, its model and an image to inference."""
    workflow = Workflow("train, then infer")
    workflow.add_input(dataprocess.CPathIO(core.IODataType.FOLDER_PATH, str(images)))
    workflow.set_image_input(array=np.zeros((8, 8, 3), np.uint8), index=PHOTO)
    train = workflow.add_task(name="train_torchvision_resnext")
    infer = workflow.add_task(name="infer_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), train, [(IMAGES, 0)])
    workflow.connect_tasks(workflow.root(), infer, [(PHOTO, 0)])
    workflow.connect_tasks(train, infer, [(0, 2)])
    return workflow, train, infer


def track_in_files_only() -> None:
    """No servers for the sake of an example: MLflow's runs and TensorBoard's events go into `.demo`."""
    config.main_cfg["mlflow"]["tracking_uri"] = (DEMO / "mlflow").as_uri()
    config.main_cfg["tensorboard"]["tracking_uri"] = ""


def main(keep: Path | None = None, **changes: int) -> Path:
    """Train, infer, print the figures. Returns the model folder; a copy of it without the report goes to `keep`.

    Args:
        changes: parameters that differ from the recipe, such as fewer epochs.
    """
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    track_in_files_only()
    training, held_out = training_and_held_out()
    images = DEMO / "digits"
    write_images(images, training)
    workflow, train, infer = build(images)
    train.set_parameters({**RECIPE, **changes, "output_folder": DEMO / "training"})
    start = time.perf_counter()
    workflow.run()
    trained = time.perf_counter() - start
    outcome = train.get_output(1).data
    print(f"   {len(outcome['history'])} epochs in {trained:.0f} s; validation {outcome['validation']['top1']:.1%}")
    # The same graph again, without training again: a disabled training task still hands on its model.
    workflow.set_task_enabled(task=train, enabled=False)
    start = time.perf_counter()
    answers = []
    for image in held_out.images:
        workflow.set_image_input(array=image, index=PHOTO)
        workflow.run()
        answers.append(infer.get_whole_image_results()[0][0])
    right, seconds = int((np.array(answers) == held_out.digits.astype(str)).sum()), time.perf_counter() - start
    print(
        f"   {right} of {len(answers)} held-out digits right: {right / len(answers):.1%}, {answers.count(UNKNOWN)} "
        f"answered {UNKNOWN}, in {seconds:.1f} s"
    )
    folder = Path(outcome["model_folder"])
    print(f"   model folder: {folder}")
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors", "classes.txt", "golden.safetensors", "trust.safetensors"):
            shutil.copy(folder / name, keep)
    return folder


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
