"""The main job on real images, in real Ikomia workflows. Works offline.

A photo is classified with ImageNet weights, if they can be had; handwritten digits with the tiny model that comes
with the repository, each by itself, all on one sheet behind Ikomia's own segmentation, and some with maps of where it
looked. Then such a model is trained, and used, in one graph. Run with
`python -m examples.demo [folder for the pictures]`.
"""

import logging
import shutil
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples import train_digits
from examples.digits import Digits, digit_at, sheet_of, training_and_held_out
from examples.ikomia_home import DEMO, REPOSITORY, use_own_home
from infer_torchvision_resnext.answers.predictions import UNKNOWN

use_own_home()

from ikomia.dataprocess.workflow import Workflow  # noqa: E402  (reads the home when it is imported)

NAME = "infer_torchvision_resnext"
MODEL_FOLDER = REPOSITORY / "examples" / "models" / "digits"
MAPPED = (2, 3, 4, 5, 7)
"""Digits that are others, or none, when they lie on their side."""

PICTURES = Path(sys.argv[1] if len(sys.argv) > 1 else DEMO / "pictures").resolve()

EPOCHS = 8
"""Enough to see a training work; the model of this repository took 20."""


def classify_a_photo() -> None:
    """scikit-learn's sample photo with torchvision's ImageNet weights."""
    import sklearn.datasets

    photo = Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"
    print("\n1. A photo, with ImageNet weights")
    workflow = Workflow("photo")
    task = workflow.add_task(name=NAME, auto_connect=True)
    task.set_parameters({"model_name": "resnext50"})
    try:
        workflow.run_on(path=str(photo))
    except RuntimeError as error:
        if "could not be downloaded" not in str(error):
            raise
        print("   SKIPPED: the weights are not in torch hub's cache and there is no connection to fetch them.")
        print(textwrap.fill(first_sentence(error), 100, initial_indent="   ", subsequent_indent="   "))
        return
    for label, probability in task.get_whole_image_results():
        print(f"   {float(probability):7.1%}  {label}")
    save(task.get_image_with_graphics(), "photo.png")


def classify_digits(held_out: Digits) -> None:
    """Every held-out digit, one by one, through the workflow."""
    print(f"\n2. {len(held_out.images)} held-out handwritten digits, one by one, with {MODEL_FOLDER.name}")
    workflow = Workflow("digits")
    task = workflow.add_task(name=NAME, auto_connect=True)
    task.set_parameters({"weights": str(MODEL_FOLDER)})
    answers, pictures = [], []
    start = time.perf_counter()
    for image in held_out.images:
        workflow.run_on(array=image)
        answers.append(task.get_whole_image_results()[0][0])
        if len(pictures) < 10:
            pictures.append(task.get_image_with_graphics())
    seconds = time.perf_counter() - start
    right = int((np.array(answers) == held_out.digits.astype(str)).sum())
    unknown = answers.count(UNKNOWN)
    print(f"   {right} of {len(answers)} right: {right / len(answers):.1%}, {unknown} {UNKNOWN}, in {seconds:.1f} s")
    save(np.vstack([np.hstack(pictures[:5]), np.hstack(pictures[5:])]), "digits.png")


def classify_a_sheet(held_out: Digits) -> None:
    """Digits on one sheet: Ikomia finds the blobs, the tiny model reads each."""
    print("\n3. A sheet of digits: ocv_threshold, ik_binary_to_graphics, then the classifier on every object")
    sheet, digits = sheet_of(held_out, rows=5, columns=8)
    workflow = Workflow("sheet")
    threshold = workflow.add_task(name="ocv_threshold", auto_connect=True)
    threshold.set_parameters({"threshold": "24"})
    blobs = workflow.add_task(name="ik_binary_to_graphics", auto_connect=True)
    task = workflow.add_task(name=NAME)
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    workflow.connect_tasks(blobs, task, [(1, 1)])
    task.set_parameters({"weights": str(MODEL_FOLDER), "batch_size": "8"})
    workflow.run_on(array=sheet)
    unknown = sum(row["answer"] == UNKNOWN for row in task.get_output(4).data["predictions"])
    print(f"   with the default parameters: {unknown} {UNKNOWN}")
    # The blobs are tight; the model knows digits with a little room around them. Enlarged and cut out, some are unlike
    # the small files that it learned from.
    settings = {"object_margin": "0.1", "unknown_sensitivity": "0"}
    task.set_parameters(settings)
    workflow.run_on(array=sheet)
    found = task.get_output(4).data["predictions"]
    right = sum(row["answer"] == str(digit_at(digits, row["box_xywh"])) for row in found)
    with_settings = " and ".join(f"{key} = {value}" for key, value in settings.items())
    print(f"   {len(found)} objects found; with {with_settings}: {right} of {digits.size} digits right")
    save(task.get_image_with_graphics(), "sheet.png")


def show_where_it_looks(held_out: Digits) -> None:
    """Some digits with their maps, and the same ones lying on their side, which the model has never seen."""
    print("\n4. Where it looks: five digits, upright and lying")
    workflow = Workflow("maps")
    task = workflow.add_task(name=NAME, auto_connect=True)
    task.set_parameters({"weights": str(MODEL_FOLDER), "maps": "True"})
    rows = []
    for turns, name in ((0, "upright"), (1, "lying")):
        answers, pictures = [], []
        for digit in MAPPED:
            workflow.run_on(array=np.rot90(held_out.images[held_out.digits == digit][0], turns).copy())
            answers.append(task.get_whole_image_results()[0][0])
            pictures.append(task.get_image_with_graphics())
        print(f"   {name}: {', '.join(answers)}")
        rows.append(np.hstack(pictures))
    save(np.vstack(rows), "maps.png")


def first_sentence(error: Exception) -> str:
    """Ikomia wraps a task's error into its type and a traceback; this is what the task said."""
    return str(error).split(">: ", 1)[-1].split(":   File", 1)[0]


def save(picture: NDArray[np.uint8], name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(PICTURES / name)
    print(f"   picture: {PICTURES / name}")


def main() -> None:
    # Ikomia reports every run; hundreds of them are no news.
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    held_out = training_and_held_out()[1]
    classify_a_photo()
    classify_digits(held_out)
    classify_a_sheet(held_out)
    show_where_it_looks(held_out)
    print("\n5. A ResNeXt of eight layers, trained on the other digits and asked about the same ones, in one graph")
    report = train_digits.main(epochs=EPOCHS) / "report"
    shutil.copy(report / "learning_curves.png", PICTURES / "training.png")
    print(f"   report: {report / 'report.html'}")


if __name__ == "__main__":
    main()
