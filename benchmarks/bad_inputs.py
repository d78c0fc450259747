"""Everything that may come in wrong, and what the user is told. Run alone with `python -m benchmarks.bad_inputs`."""

import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from examples.ikomia_home import REPOSITORY, use_own_home
from infer_torchvision_resnext.resnext.network.architecture import Architecture

MODEL_FOLDER = REPOSITORY / "examples" / "models" / "digits"


class Trojan:
    """Would print when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a file ran code",))


def bad_images(folder: Path) -> dict[str, Any]:
    """What to classify: arrays, and paths of files."""
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"hello")
    (folder / "half.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    return {
        "a float image with NaN": np.full((8, 8, 3), np.nan, np.float32),
        "a float image from 0 to 255": np.arange(192, dtype=np.float32).reshape(8, 8, 3),
        "an empty array": np.zeros((0, 0, 3), np.uint8),
        "channels first": np.zeros((3, 8, 8), np.uint8),
        "int32": np.zeros((8, 8, 3), np.int32),
        "four axes": np.zeros((2, 8, 8, 3), np.uint8),
        "an empty file": folder / "empty.jpg",
        "a text called .jpg": folder / "text.jpg",
        "half a photo": folder / "half.jpg",
        "no such file": folder / "gone.jpg",
    }


def bad_weights(folder: Path) -> dict[str, dict[str, str]]:
    """Parameters that pass on their own, but whose files do not."""
    state = Architecture.from_name("resnext50").build(2).state_dict()
    torch.save(state, folder / "two.pth")
    save_file(state, folder / "two.safetensors")
    for name in ("two.pth", "two.safetensors"):
        (folder / f"cut-{name}").write_bytes((folder / name).read_bytes()[:500_000])
    torch.save({"fc.weight": Trojan()}, folder / "trojan.pth")
    (folder / "list.pth").write_bytes(pickle.dumps([1, 2], protocol=2))
    (folder / "three.txt").write_text("a\nb\nc\n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    two = str(folder / "two.pth")
    return {
        "published weights, no connection": {"weights": "IMAGENET1K_V1"},
        "no such file": {"weights": str(folder / "gone.pth")},
        "a folder without a model": {"weights": str(folder)},
        "a .pth with code in it": {"weights": str(folder / "trojan.pth")},
        "a .pth with a list in it": {"weights": str(folder / "list.pth")},
        "a .pth cut short": {"weights": str(folder / "cut-two.pth")},
        "a .safetensors cut short": {"weights": str(folder / "cut-two.safetensors")},
        "another architecture": {"weights": two, "model_name": "resnext101"},
        "no labels": {"weights": two},
        "too many labels": {"weights": two, "class_file": str(folder / "three.txt")},
        "no such class file": {"weights": two, "class_file": str(folder / "gone.txt")},
        "a class file that is no text": {"weights": two, "class_file": str(folder / "binary.txt")},
        "a GPU that is not there": {"weights": str(MODEL_FOLDER), "device": "cuda:7"},
        "fp16 on a CPU": {"weights": str(MODEL_FOLDER), "device": "cpu", "precision": "fp16"},
    }


BAD_PARAMETERS: dict[str, dict[str, str]] = {
    "a misspelled key": {"modl_name": "resnext50"},
    "four wrong values": {"top_k": "-1", "precision": "int4", "batch_size": "many", "confidence_threshold": "93"},
    "weights nobody published": {"model_name": "resnext101_64x4d", "weights": "IMAGENET1K_V2"},
    "an unknown dataset": {"dataset": "COCO"},
}


def message_of(call: Callable[[], None], folder: Path) -> str:
    """What the user is told, without Ikomia's type and traceback around it, and without this machine's paths."""
    try:
        call()
    except Exception as error:
        said = str(error).split("'>: ", 1)[-1].split(":   File", 1)[0]
        return said.replace(str(folder), "...").replace(torch.hub.get_dir(), "<torch hub>")
    return "NO ERROR"


def measure(folder: Path) -> list[dict[str, str]]:
    """One row for each thing tried."""
    from ikomia.dataprocess.workflow import Workflow

    def new_task() -> tuple[Any, Any]:
        workflow = Workflow("bad inputs")
        return workflow, workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)

    rows = []

    def try_out(kind: str, what: str, call: Callable[[], None]) -> None:
        rows.append({"kind": kind, "tried": what, "message": message_of(call, folder)})

    workflow, task = new_task()
    task.set_parameters({"weights": str(MODEL_FOLDER)})
    for what, image in bad_images(folder).items():
        source = {"path": str(image)} if isinstance(image, Path) else {"array": image}
        try_out("image", what, lambda source=source: workflow.run_on(**source))
    for what, parameters in BAD_PARAMETERS.items():
        try_out("parameters", what, lambda parameters=parameters: task.set_parameters(parameters))
    for what, parameters in bad_weights(folder).items():
        workflow, task = new_task()
        task.set_parameters(parameters)
        photo = np.zeros((32, 32, 3), np.uint8)
        try_out("weights", what, lambda workflow=workflow, photo=photo: workflow.run_on(array=photo))
    return rows


def main() -> list[dict[str, str]]:
    use_own_home()
    with tempfile.TemporaryDirectory() as folder:
        users_hub = torch.hub.get_dir()
        # An empty cache and a proxy that nobody answers at: no connection, also where there is one.
        torch.hub.set_dir(str(Path(folder) / "hub"))
        proxies = {key: os.environ.get(key) for key in ("http_proxy", "https_proxy")}
        os.environ.update(dict.fromkeys(proxies, "http://127.0.0.1:9"))
        try:
            return measure(Path(folder))
        finally:
            torch.hub.set_dir(users_hub)
            for key, value in proxies.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value


if __name__ == "__main__":
    from benchmarks.table import markdown

    print(markdown(main()))
