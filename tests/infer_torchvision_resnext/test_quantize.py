import shutil
from pathlib import Path

import pytest
from PIL import Image

from examples.digits import training_and_held_out
from infer_torchvision_resnext.quantize import main

DIGITS = Path(__file__).parents[2] / "examples" / "models" / "digits"


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
