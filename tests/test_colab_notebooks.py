"""The notebooks in Ikomia's format open alone; their code runs offline on stand-ins for what they download."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.image_folders import write_digits

FOLDER = Path(__file__).parents[1] / "examples" / "colab"
RUN, TRAIN = (FOLDER / f"HOWTO_{what}_ResNeXt_with_Ikomia_API.ipynb" for what in ("run", "train"))
IMAGES = "https://raw.githubusercontent.com/Ikomia-dev/notebooks/main/examples/img"
DATASET = "https://download.pytorch.org/tutorial"
SMALLER = {
    # Only a notebook has IPython: what is displayed is kept by the fixture.
    "ImageShow.register(ImageShow.IPythonViewer(), 0)": "",
    '"resnext101"': '"resnext50"',  # whose random weights lie in the cache
    '"epochs": "10"': '"epochs": "1", "batch_size": "8", "num_workers": "0"',
    '"input_size": "224",\n        "feature_extract"': '"input_size": "32",\n        "feature_extract"',
}


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def python_of(path, address):
    """All code as one program with the addresses of this machine."""
    code = "\n".join("".join(cell["source"]) for cell in cells(path, "code"))
    code = re.sub(r"^!.*$", "", code, flags=re.MULTILINE).replace(IMAGES, address).replace(DATASET, address)
    for old, new in SMALLER.items():
        code = code.replace(old, new)
    return code


def test_there_is_one_for_each_plugin():
    assert sorted(FOLDER.iterdir()) == [RUN, TRAIN]


@pytest.mark.parametrize("path", [RUN, TRAIN], ids=lambda path: path.stem)
def test_it_opens_alone_and_claims_no_results(path):
    code = cells(path, "code")
    assert "".join(code[0]["source"]) == "!pip install ikomia"
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    text = "".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    assert not re.findall(r"\]\((?!https://)", text), "a link to a file that is not there"
    assert "from examples" not in path.read_text(encoding="utf-8")


@pytest.fixture
def address(served, tmp_path, photo_path):
    """Where this machine serves an image and a dataset under their public names."""
    folder, address = served
    shutil.copy(photo_path, folder / "img_cat.jpg")
    dataset = tmp_path / "zip" / "hymenoptera_data"
    write_digits(dataset, {"train": 6, "val": 2})
    for part in ("train", "val"):
        (dataset / part / "0").rename(dataset / part / "ants")
        (dataset / part / "1").rename(dataset / part / "bees")
    shutil.make_archive(str(folder / "hymenoptera_data"), "zip", tmp_path / "zip")
    return address


@pytest.mark.usefixtures("few_images", "imagenet_cache")
@pytest.mark.parametrize("path", [RUN, TRAIN], ids=lambda path: path.stem)
def test_its_code_runs(path, address, displayed, tmp_path, monkeypatch):
    workplace = tmp_path / "colab"
    workplace.mkdir()
    monkeypatch.chdir(workplace)
    names = {}
    exec(compile(python_of(path, address), path.name, "exec"), names)
    assert names["algo"].get_whole_image_results()
    assert displayed.pictures
    assert (workplace / "classify.json").is_file()
    if path == TRAIN:
        assert {"config.json", "model.safetensors"} <= {file.name for file in names["model"].iterdir()}
