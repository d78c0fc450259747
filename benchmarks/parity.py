"""The same weights and photo: this plugin through Ikomia, in torch and fp32, beside torchvision's transforms and model.

Run alone with `python -m benchmarks.parity [folder of photos]`. Published weights are used where torch hub's cache
has them, random ones of the same names otherwise; the table says which.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.models import get_model, get_model_weights

from benchmarks.random_weights import file_of, write_stand_in
from examples.ikomia_home import DEMO, use_own_home

MODELS = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")


def photo_files(folder: Path | None) -> list[Path]:
    """Five photos of a folder, spread over it; without one, those that scikit-learn and matplotlib bring."""
    if folder:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
        return found[:: max(1, len(found) // 5)][:5]
    import matplotlib
    import sklearn.datasets

    ours = Path(sklearn.datasets.__file__).parent / "images"
    theirs = Path(matplotlib.get_data_path()) / "sample_data"
    return [ours / "flower.jpg", ours / "china.jpg", theirs / "grace_hopper.jpg"]


def torchvision_probabilities(name: str, weights: Any, photo: Image.Image) -> np.ndarray:
    """C probabilities, as torchvision's documentation shows how to get them."""
    network = get_model(name).eval()
    file = file_of(weights, Path(torch.hub.get_dir()))
    network.load_state_dict(torch.load(file, weights_only=True))
    with torch.inference_mode():
        return network(weights.transforms()(photo).unsqueeze(0)).softmax(1)[0].numpy()


def ours(task: Any) -> np.ndarray:
    """C probabilities of the task's last run, in the order of the classes."""
    (prediction,) = task.get_output(4).data["predictions"]
    found = np.zeros(len(prediction["top_k"]))
    for row in prediction["top_k"]:
        found[row["index"]] = row["probability"]
    return found


def measure(folder: Path | None) -> list[dict[str, Any]]:
    """One row for each model and its published weights."""
    users_hub = torch.hub.get_dir()
    rows = []
    for name in MODELS:
        for weights in get_model_weights(name):
            published = file_of(weights, Path(users_hub)).is_file()
            torch.hub.set_dir(users_hub if published else str(DEMO / "random_hub"))
            if not published:
                write_stand_in(name, weights, Path(torch.hub.get_dir()))
            source = weights.name if published else f"random, in the place of {weights.name}"
            rows.append({"model": name, "weights": source, **compare(name, weights, photo_files(folder))})
    torch.hub.set_dir(users_hub)
    return rows


def compare(name: str, weights: Any, photos: list[Path]) -> dict[str, Any]:
    """The largest differences of a probability, over all photos and classes."""
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("parity")
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    # The reference that the guard measures all other runtimes against.
    chosen = {"runtime": "torch", "precision": "fp32", "device": "cpu"}
    task.set_parameters({"model_name": name, "weights": weights.name, "top_k": 0, **chosen})
    pixels, files, answers = [], [], []
    for path in photos:
        photo = Image.open(path).convert("RGB")
        expected = torchvision_probabilities(name, weights, photo)
        workflow.run_on(array=np.asarray(photo))
        pixels.append(np.abs(ours(task) - expected).max())
        workflow.run_on(path=str(path))
        files.append(np.abs(ours(task) - expected).max())
        answers.append(expected)
    best = [answer.max() for answer in answers]
    preset = weights.transforms()
    return {
        "resize / crop": f"{preset.resize_size[0]} / {preset.crop_size[0]}",
        "photos": len(photos),
        "best probability": f"{min(best):.2f} to {max(best):.2f}",
        "between two photos, as a control": f"{np.ptp(answers, axis=0).max():.1e}",
        "largest difference, same pixels": f"{max(pixels):.1e}",
        "largest difference, same file": f"{max(files):.1e}",
    }


def main(folder: Path | None = None) -> list[dict[str, Any]]:
    use_own_home()
    return measure(folder)


if __name__ == "__main__":
    from benchmarks.table import markdown

    print(markdown(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)))
