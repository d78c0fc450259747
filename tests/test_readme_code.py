"""The Python of the READMEs and the manual runs, block after block, as a newcomer would type it."""

import ast
import contextlib
import io
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
FROZEN = {"epochs": 1, "input_size": 32, "batch_size": 8, "num_workers": 0}
"""A frozen backbone cannot be smaller than its weights."""


@pytest.fixture
def place(tmp_path, monkeypatch, photo_path):
    """Where the newcomer stands: with a photo and a folder of images."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo_path, "photo.jpg")
    write_digits(tmp_path / "my_images", {"train": 6, "val": 2})
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples", target_is_directory=True)


@pytest.mark.usefixtures("place", "few_images", "displayed", "imagenet_cache")
@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ("README.md", {"train", "infer", "algo"}),
        ("infer_torchvision_resnext/README.md", {"algo"}),
        ("train_torchvision_resnext/README.md", {"train", "infer"}),
        ("docs/few-hundred-photos.md", {"train"}),
    ],
)
def test_the_code_of_a_document_runs(document, shown, served):
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    # That detector would be fetched from the HUB.
    code = "".join(block for block in blocks if "infer_yolo" not in block)
    code = code.replace('"epochs": 5', f"**{FROZEN if 'feature_extract' in code else SMALL}")
    folder, address = served
    shutil.copy("photo.jpg", folder / "img_cat.jpg")
    code = code.replace("https://raw.githubusercontent.com/Ikomia-dev/notebooks/main/examples/img", address)
    names = {}
    # Not `capsys`: what is imported meanwhile would keep its streams, which are closed afterwards.
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, document, "exec"), names)
    assert shown <= names.keys()
    if "algo" in shown:
        assert 3 <= len(names["algo"].get_whole_image_results()) <= 5
    if printed := re.search(r"```\n(\[\(.+\)\])\n```", text):
        results = [ast.literal_eval(line) for line in (printed[1], output.getvalue().strip().splitlines()[-1])]
        stated, real = ([(label, float(probability)) for label, probability in result] for result in results)
        assert [label for label, _ in real] == [label for label, _ in stated]
        assert [number for _, number in real] == pytest.approx([number for _, number in stated], abs=0.005)
    if "infer" in shown:
        # A flower is no digit, which a model that learned three of them may say.
        assert {label for label, _ in names["infer"].get_whole_image_results()} - {"unknown"} == {"0", "1", "2"}


@pytest.mark.usefixtures("place")
def test_a_model_answers_the_same_outside_ikomia(tmp_path):
    """torchvision, timm and ONNX Runtime with the code of the manual, against the plugin in torch and fp32."""
    pytest.importorskip("timm")
    pytest.importorskip("onnxruntime")
    import numpy as np
    import torch
    from ikomia.dataprocess.workflow import Workflow
    from PIL import Image

    from benchmarks.random_weights import decided_network
    from train_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
    from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
    from train_torchvision_resnext.resnext.network.architecture import Architecture
    from train_torchvision_resnext.resnext.trust.calibration import Calibration
    from train_torchvision_resnext.results.export import export_onnx

    torch.manual_seed(0)
    architecture, preprocessing, labels = Architecture.from_name("resnext50"), Preprocessing(72, 64), ("a", "b", "c")
    network = decided_network(architecture.build(len(labels)))
    calibration = Calibration(temperature=1.7, images=100, ece_before=0.1, ece_after=0.05, loss_before=1, loss_after=1)
    folder = tmp_path / "models" / "RUN" / "model"
    config = ModelConfig.of(architecture, labels, preprocessing, calibration)
    write_model_folder(folder, config, network.state_dict())
    export_onnx(network, labels, preprocessing, folder / "model.onnx", np.zeros((2, 64, 64, 3), np.uint8))

    text = (REPOSITORY / "docs" / "outside-ikomia.md").read_text(encoding="utf-8")
    names = {}
    exec(compile("".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), "outside-ikomia.md", "exec"), names)

    wf = Workflow()
    task = wf.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters({"weights": str(folder), "device": "cpu", "runtime": "torch", "precision": "fp32"})
    wf.run_on(array=np.asarray(Image.open("photo.jpg").convert("RGB")))
    (prediction,) = task.get_output(4).data["predictions"]
    plugin = {row["label"]: row["probability"] for row in prediction["top_k"]}
    assert task.get_output(4).data["trust"]["temperature"] == pytest.approx(1.7)
    for outside in ("probabilities", "same", "also_same"):
        assert dict(zip(labels, names[outside].tolist(), strict=True)) == pytest.approx(plugin, abs=1e-5), outside
