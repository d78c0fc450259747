"""Train on digits, then classify them in each runtime: one workflow as a user runs it, in the installed versions.

Prints one JSON object: runtime → share of digits whose answer is torch's, and which runtime answered. Run by
`tools.version_matrix` with a scratch home.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path

from examples.digits import Digits, training_and_held_out, write_class_folders

SMALL = {"weights": "none", "layers": "1,1", "cardinality": 4, "bottleneck_width": 4, "input_size": 32, "epochs": 1}
RUNTIMES = ("torch", "openvino", "onnxruntime", "auto")
IMAGES, CLASSIFIED = 40, 12
"""Digits to train on, and how many of them each runtime classifies."""


def main() -> None:
    from ikomia.core import config
    from ikomia.dataprocess.workflow import Workflow

    logging.disable(logging.WARNING)
    # No servers for the sake of a trial.
    config.main_cfg["mlflow"]["tracking_uri"] = Path(config.main_cfg["mlflow"]["store_uri"]).as_uri()
    config.main_cfg["tensorboard"]["tracking_uri"] = ""
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch) / "pictures"
        held_out = training_and_held_out()[1]
        write_class_folders(Digits(held_out.images[:IMAGES], held_out.digits[:IMAGES]), pictures)
        training = Workflow()
        training.set_directory_input(folder=str(pictures))
        train = training.add_task(name="train_torchvision_resnext")
        training.connect_tasks(training.root(), train, [(0, 0)])
        train.set_parameters(
            {**SMALL, "batch_size": 8, "export_onnx": True, "output_folder": str(Path(scratch) / "runs")}
        )
        training.run()
        model = train.get_output(0).get_path()
        answers: dict[str, list[str]] = {}
        table = {}
        for runtime in RUNTIMES:
            workflow = Workflow()
            infer = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
            infer.set_parameters({"weights": model, "runtime": runtime, "device": "cpu", "precision": "fp32"})
            answers[runtime] = []
            for picture in sorted(pictures.rglob("*.png"))[:CLASSIFIED]:
                workflow.run_on(path=str(picture))
                answers[runtime].append(infer.get_whole_image_results()[0][0])
            same = sum(mine == its for mine, its in zip(answers[runtime], answers["torch"], strict=True))
            table[runtime] = [same / len(answers[runtime]), infer.get_output(4).data["runtime"]["name"]]
    print(json.dumps(table))
    sys.exit(any(share < 1 for share, _ in table.values()))


if __name__ == "__main__":
    main()
