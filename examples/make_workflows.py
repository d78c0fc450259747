"""Make the workflow files of examples/workflows: run with `python -m examples.make_workflows` after a change to them.

What a saved file says of the machine that saved it is taken out, and of the parameters only what differs from the
defaults is kept, so that the files open with later versions too.
"""

import json
from pathlib import Path
from typing import Any

from examples.ikomia_home import REPOSITORY, use_own_home

FOLDER = REPOSITORY / "examples" / "workflows"
INFER, TRAIN = "infer_torchvision_resnext", "train_torchvision_resnext"


def classify_an_image() -> None:
    """Image → labels."""
    workflow = _workflow("Classify an image", "The best labels of a whole image, with ImageNet weights or your own.")
    workflow.add_task(name=INFER, auto_connect=True)
    _save(
        workflow,
        "classify_an_image.json",
        {INFER: _named("model_name", "weights", "top_k", "confidence_threshold")},
        {INFER: [{"index": 3, "description": "labels, best first"}, {"index": 4, "description": "everything"}]},
    )


def detect_then_classify() -> None:
    """Image → threshold → blobs → a label for each."""
    workflow = _workflow("Detect, then classify", "Every bright blob of an image, such as a digit on a sheet, read.")
    workflow.add_task(name="ocv_threshold", auto_connect=True).set_parameters({"threshold": "24"})
    blobs = workflow.add_task(name="ik_binary_to_graphics", auto_connect=True)
    task = workflow.add_task(name=INFER)
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    workflow.connect_tasks(blobs, task, [(1, 1)])
    _save(
        workflow,
        "detect_then_classify.json",
        {INFER: _named("weights", "confidence_threshold", "object_margin"), "ocv_threshold": _named("threshold")},
        {INFER: [{"index": 1, "description": "objects"}, {"index": 4, "description": "everything"}]},
    )


def train_then_classify() -> None:
    """Dataset → training → the model, tried on an image."""
    workflow = _workflow("Train, then classify", "A classifier of your own images, tried at once. Input 0: the image.")
    workflow.add_input(_folder_input())
    train = workflow.add_task(name=TRAIN)
    infer = workflow.add_task(name=INFER)
    workflow.connect_tasks(workflow.root(), train, [(1, 0)])
    workflow.connect_tasks(workflow.root(), infer, [(0, 0)])
    workflow.connect_tasks(train, infer, [(0, 2)])
    trained = ("model_name", "weights", "epochs", "batch_size", "learning_rate", "input_size", "output_folder")
    _save(
        workflow,
        "train_then_classify.json",
        {TRAIN: _named(*trained)},
        {
            TRAIN: [{"index": 0, "description": "model folder"}, {"index": 1, "description": "how it went"}],
            INFER: [{"index": 4, "description": "everything"}],
        },
    )


def _workflow(name: str, description: str) -> Any:
    from ikomia import core, dataprocess
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow(name)
    workflow.description, workflow.keywords = description, "resnext,classification"
    workflow.add_input(dataprocess.CImageIO(core.IODataType.IMAGE))
    return workflow


def _folder_input() -> Any:
    from ikomia import core, dataprocess

    return dataprocess.CPathIO(core.IODataType.FOLDER_PATH)


def _named(*keys: str) -> dict[str, dict[str, str]]:
    return {key: {"name": key} for key in keys}


def _save(workflow: Any, file: str, parameters: dict[str, Any], outputs: dict[str, Any]) -> None:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / file
    workflow.save(str(path), exposed_params=parameters, exposed_outputs=outputs)
    saved = json.loads(path.read_text(encoding="utf-8"))
    for task in saved["tasks"]:
        # The plugin is found by its name; the address is a path of this machine.
        task["task_data"].pop("url", None)
        task["task_data"]["parameters"] = _changed(task["task_data"])
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _changed(data: dict[str, Any]) -> list[dict[str, str]]:
    from ikomia.dataprocess.registry import ik_registry

    defaults = ik_registry.create_algorithm(data["name"], public_hub=False).get_parameters()
    changed = [one for one in data["parameters"] if one["value"] != defaults[one["name"]]]
    return sorted(changed, key=lambda one: str(one["name"]))


def main() -> None:
    use_own_home()
    import ikomia  # noqa: F401  (its OpenCV must come before any other)

    classify_an_image()
    detect_then_classify()
    train_then_classify()
    for path in sorted(Path(FOLDER).glob("*.json")):
        print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
