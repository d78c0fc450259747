"""Model folders that ask for too much, or whose files are none, are refused by name before anything is computed."""

import json
import os
import shutil
import socket
from contextlib import closing

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors

from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.model import WeightsError
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.golden import GoldenError, read_golden
from infer_torchvision_resnext.resnext.folder.names import CONFIG, GOLDEN, INT8_REPORT, WEIGHTS
from infer_torchvision_resnext.resnext.folder.weight_files import WeightFileError, read_shapes, read_state
from infer_torchvision_resnext.resnext.trust.costs import MAX_CLASSES, CostError, Costs, read_costs
from infer_torchvision_resnext.resnext.trust.evidence import EVIDENCE

POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy that may be harmed."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def load(folder):
    return load_model(Parameters(weights=str(folder)), Cache())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("crop_size", 16_384, r"crop_size 16384 must be at least 1, at most 4096"),
        ("resize_size", 10**9, r"at most resize_size 1000000000, and that at most 16384"),
        ("costs", [[0.0] * 60_000], r"resnext\.costs has 1 rows of \[60000\]"),
        ("costs", [["x"] * 50] * 50, r"resnext\.costs\.0\.0: Input should be a valid number"),
    ],
)
def test_numbers_beyond_the_limits_are_named(folder, key, value, message):
    config = json.loads((folder / CONFIG).read_text())
    config["resnext"] |= {"resize_size": 16_384} if key == "crop_size" else {}
    config["resnext"][key] = value
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message) as caught:
        load(folder)
    assert len(str(caught.value)) < 2000


def test_too_many_golden_images_are_refused_before_they_are_read(folder):
    images = np.zeros((20_000, 16, 16, 3), np.uint8)
    save_file({"images": images, "logits": np.zeros((20_000, 3), np.float32)}, folder / GOLDEN)
    with pytest.raises(GoldenError, match=r"golden.safetensors: images: 20,000 of them, at most 256 may be; train"):
        read_golden(folder)


def test_costs_of_many_classes_are_read_in_linear_time_and_bounded(tmp_path):
    wide = tmp_path / "wide.csv"
    wide.write_text("," + ",".join(f"class {number}" for number in range(60_000)) + "\nclass 0,0\n")
    with pytest.raises(CostError, match="costs of 60,000 classes, at most 4,000 may have some"):
        read_costs(wide)
    with pytest.raises(CostError, match="costs of 4,001 classes"):
        Costs(np.zeros((MAX_CLASSES + 1,) * 2))
    # Each of the wrong names was once looked for among all others, and each wrong number made a sentence.
    names = [f"class {number}" for number in range(MAX_CLASSES)]
    wide.write_text("," + ",".join(names) + "\n" + "".join(f"{name}\n" for name in names))
    with pytest.raises(CostError, match=r"the row of 'class 0' has 0 costs, expected 4000; .* and 3990 more"):
        read_costs(wide)
    with pytest.raises(CostError, match=r"0 taken for 0 costs -1, expected 0.*and 15999990 more"):
        Costs(np.full((MAX_CLASSES,) * 2, -1.0))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_integers_are_named(folder, tmp_path, suffix):
    state = load_file(folder / WEIGHTS)
    state["fc.weight"] = (state["fc.weight"] * 100).to(torch.int8)
    path = tmp_path / f"rounded{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_tensors(state, path)
        with pytest.raises(WeightFileError, match=r"rounded\.safetensors: fc\.weight is of I8, expected floating"):
            read_shapes(path)
    with pytest.raises(WeightFileError, match=rf"rounded{suffix}: fc\.weight is of int8, expected floating-point"):
        read_state(path)


def pipe(path):
    os.mkfifo(path)


def link_to_nowhere(path):
    path.symlink_to("nowhere")


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


def listening_socket(path):
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))


@POSIX
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, GOLDEN, EVIDENCE, INT8_REPORT])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (pipe, "is a pipe"),
        (os.mkdir, "is a folder"),
        (link_to_nowhere, "is a link that leads nowhere"),
        (link_to_a_device, "is a device"),
        (listening_socket, "is a socket"),
    ],
)
def test_what_only_has_the_name_of_a_file_is_named(folder, monkeypatch, name, make, kind):
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    # A socket's path must be short.
    monkeypatch.chdir(file.parent)
    make(file.relative_to(file.parent))
    with pytest.raises(WeightsError, match=rf"{file.name} {kind}"):
        load(folder)


@POSIX
def test_the_same_of_single_files(tmp_path):
    pipe(tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"weights\.pth is a pipe, expected a file"):
        load(tmp_path / "weights.pth")


@POSIX
def test_links_to_files_are_followed(folder, tmp_path):
    """Downloads lie in caches this way."""
    for path in [path for path in folder.iterdir() if path.is_file()]:
        blob = path.rename(tmp_path / f"blob of {path.name}")
        path.symlink_to(blob)
    assert load(folder).labels
