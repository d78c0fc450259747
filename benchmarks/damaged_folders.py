"""Ways to damage a model folder, and what the user is told. Run alone with `python -m benchmarks damaged`.

Each of them leaves a folder that can be read and would answer, with other answers than in training.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from examples.ikomia_home import REPOSITORY, use_own_home

MODEL_FOLDER = REPOSITORY / "examples" / "models" / "digits"

Damage = Callable[[Path], None]


def in_config(change: Callable[[dict[str, Any]], None]) -> Damage:
    """What changes `config.json`."""

    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        change(config)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

    return damage


def in_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Damage:
    """What changes `model.safetensors`."""

    def damage(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "model.safetensors")

    return damage


def _exchange_evidence(folder: Path) -> None:
    """As of another training of the same network on the same images: one a little surer of them."""
    evidence = load_file(folder / "trust.safetensors")
    save_file({**evidence, "probability": evidence["probability"] ** 0.9}, folder / "trust.safetensors")


def _rotate_labels(config: dict[str, Any]) -> None:
    config["label_names"] = [*config["label_names"][1:], config["label_names"][0]]


def _reverse_channels(state: dict[str, torch.Tensor]) -> None:
    state["conv1.weight"] = state["conv1.weight"].flip(1)


DAMAGES: dict[str, Damage] = {
    "resize_size 64": in_config(lambda config: config["resnext"].update(resize_size=64)),
    "crop_size 28": in_config(lambda config: config["resnext"].update(crop_size=28)),
    "mean 0.5": in_config(lambda config: config["pretrained_cfg"].update(mean=[0.5] * 3)),
    "std 0.5": in_config(lambda config: config["pretrained_cfg"].update(std=[0.5] * 3)),
    "labels rotated by one": in_config(_rotate_labels),
    "temperature 3": in_config(lambda config: config["resnext"]["calibration"].update(temperature=3.0)),
    "calibration removed": in_config(lambda config: config["resnext"].pop("calibration")),
    "costs added": in_config(lambda config: config["resnext"].update(costs=(1 - np.eye(10)).tolist())),
    "interpolation bicubic": in_config(lambda config: config["pretrained_cfg"].update(interpolation="bicubic")),
    "value_range 0,15": in_config(lambda config: config["resnext"].update(value_range="0,15")),
    "evidence of another training": _exchange_evidence,
    "evidence removed": lambda folder: (folder / "trust.safetensors").unlink(),
    "one bias raised by 0.5": in_weights(lambda state: state["fc.bias"][:1].add_(0.5)),
    "channels in the order BGR": in_weights(_reverse_channels),
    "one filter zeroed": in_weights(lambda state: state["conv1.weight"][:1].zero_()),
}
"""By what is changed."""


def main() -> list[dict[str, str]]:
    """A row for each damage, through a real workflow on the example's model."""
    use_own_home()
    from ikomia.dataprocess.workflow import Workflow

    rows = []
    for what, damage in DAMAGES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = shutil.copytree(MODEL_FOLDER, Path(place) / "digits")
            damage(folder)
            workflow = Workflow("damaged folder")
            task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
            task.set_parameters({"weights": str(folder), "device": "cpu"})
            photo = np.zeros((8, 8, 3), np.uint8)
            message = message_of(lambda workflow=workflow, photo=photo: workflow.run_on(array=photo), Path(place))
            rows.append({"changed": what, "message": message})
    return rows


def message_of(call: Callable[[], None], folder: Path) -> str:
    """The error's message, without Ikomia's type and traceback around it, and without this machine's paths."""
    try:
        call()
    except Exception as error:
        message = str(error).split("'>: ", 1)[-1].split(":   File", 1)[0]
        return message.replace(str(folder), "...")
    return "NO ERROR"
