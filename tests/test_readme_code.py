"""The Python of the READMEs runs, block after block, as a newcomer would type it."""

import re
import shutil
from pathlib import Path

import pytest

from tests.image_folders import write_digits

REPOSITORY = Path(__file__).parents[1]
SMALL = {
    "weights": "none",
    "layers": "1,1",
    "cardinality": 4,
    "bottleneck_width": 4,
    "epochs": 1,
    "input_size": 16,
    "batch_size": 8,
    "num_workers": 0,
}
"""A test trains a smaller network for a shorter time."""


@pytest.fixture
def place(tmp_path, monkeypatch, photo_path):
    """Where the newcomer stands: with a photo and a folder of images."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo_path, "photo.jpg")
    write_digits(tmp_path / "my_images", {"train": 6, "val": 2})


@pytest.mark.usefixtures("few_images", "displayed")
@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ("README.md", {"train", "infer", "algo"}),
        ("infer_torchvision_resnext/README.md", {"algo"}),
        ("train_torchvision_resnext/README.md", {"train", "infer"}),
    ],
)
def test_the_code_of_a_readme_runs(document, shown, place, served, imagenet_cache):
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    # That detector would be fetched from the HUB.
    code = "".join(block for block in blocks if "infer_yolo" not in block)
    code = code.replace('"epochs": 5', f"**{SMALL}")
    folder, address = served
    shutil.copy("photo.jpg", folder)
    code = code.replace("https://example.com", address)
    names = {}
    exec(compile(code, document, "exec"), names)
    assert shown <= names.keys()
    if "algo" in shown:
        assert 3 <= len(names["algo"].get_whole_image_results()) <= 5
    if "infer" in shown:
        # A flower is no digit, which a model that learned three of them may say.
        assert {label for label, _ in names["infer"].get_whole_image_results()} - {"unknown"} == {"0", "1", "2"}
