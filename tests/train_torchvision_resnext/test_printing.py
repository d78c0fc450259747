"""Names of classes and files that a terminal would obey, or that UTF-8 cannot hold."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.image_folders import TINY
from train_torchvision_resnext.metrics.evaluation import evaluate
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.run.progress import Listener, TrainingError
from train_torchvision_resnext.training import train


def dataset(root, *names):
    for number, name in enumerate(names):
        try:
            (root / name).mkdir(parents=True)
        except OSError:
            pytest.skip("this file system does not take such names")
        for index in range(4):
            Image.fromarray(np.full((16, 16, 3), 60 * number + index, np.uint8)).save(root / name / f"{index}.png")
    return root


def test_a_class_folder_whose_name_is_not_utf8_is_a_problem_before_training(tmp_path):
    root = dataset(tmp_path / "data", "plain", os.fsdecode(b"caf\xe9"))
    with pytest.raises(TrainingError, match=r"the class caf\\udce9 has a name that is not UTF-8: rename the folder"):
        train(root, read_host_map({**TINY, "output_folder": str(tmp_path / "runs")}))
    assert not list((tmp_path / "runs").glob("*/run.json"))


def test_no_escape_code_of_a_class_reaches_the_terminal(tmp_path):
    root = dataset(tmp_path / "data", "plain", "red\x1b[31m", "two")
    said = []
    # All that training says before its first epoch.
    train(
        root,
        read_host_map({**TINY, "output_folder": str(tmp_path)}),
        Listener(say=said.append, stop_requested=lambda: bool(said)),
    )
    assert said
    assert "\x1b" not in "".join(said)
    told = evaluate(np.eye(2, dtype=np.float32)[[0, 0]], np.array([0, 1]), ("plain", "red\x1b[31m")).notes
    assert any(r"red\x1b[31m" in note for note in told)
    assert "\x1b" not in str(TrainingError(["class red\x1b[31m"]))
