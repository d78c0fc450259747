import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from examples.digits import training_and_held_out
from infer_torchvision_resnext.commands.quantize import main

DIGITS = Path(__file__).parents[3] / "examples" / "models" / "digits"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(DIGITS, tmp_path / "digits")


def test_the_command_takes_folders_named_as_the_classes(folder, tmp_path, capsys):
    pytest.importorskip("nncf")
    digits = training_and_held_out()[0]
    for index, (image, digit) in enumerate(zip(digits.images[:40], digits.digits[:40], strict=True)):
        (tmp_path / "images" / str(digit)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / str(digit) / f"{index}.png")
    assert main([str(folder), str(tmp_path / "images"), "--max-drop", "0.2"]) == 0
    assert "right on 20 images: kept" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(folder), str(folder)])


def test_a_wrong_path_is_a_sentence(folder, tmp_path, capsys):
    for model, images, said in (
        (tmp_path / "none", tmp_path, "is not a model folder"),
        (folder, tmp_path / "none", "is not a folder of images"),
    ):
        with pytest.raises(SystemExit):
            main([str(model), str(images)])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("form", [["infer_torchvision_resnext", "quantize"], ["infer_torchvision_resnext.quantize"]])
def test_the_command_starts_as_it_is_documented(form):
    """After the documented installation, in Ikomia's folder of plugins."""
    place = Path(os.environ["HOME"]) / "Ikomia" / "Plugins" / "Python"
    done = subprocess.run(
        [sys.executable, "-m", *form, "--help"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "--max-drop" in done.stdout
