"""The files that the HUB's CI runs, run as it does, on stand-ins for its photo and its dataset."""

import importlib

import numpy as np
import pytest
from ikomia.dataprocess.registry import ik_registry
from PIL import Image


@pytest.fixture
def data_dict(photo_path, tmp_path):
    """Paths in the HUB's structure; the dataset has two classes, three images each to train and one to validate."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 3), ("val", 1)):
        for label, level in (("dark", 40), ("light", 200)):
            folder = tmp_path / "dataset" / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(level - 30, level + 30, (48, 64, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return {
        "images": {"detection": {"coco": photo_path}},
        "datasets": {"classification": {"dataset_classification": str(tmp_path / "dataset")}},
    }


@pytest.mark.parametrize("plugin", ["infer_torchvision_resnext", "train_torchvision_resnext"])
def test_the_hubs_check_passes(plugin, data_dict, imagenet_cache):
    check = importlib.import_module(f"{plugin}.{plugin}_test")
    task = ik_registry.create_algorithm(plugin, public_hub=False)
    parameters, status = check.test(task, data_dict)
    assert status == "OK"
    assert parameters == task.get_parameters()


def test_the_hubs_check_of_the_inference_fails_on_a_broken_photo(data_dict, tmp_path, imagenet_cache):
    check = importlib.import_module("infer_torchvision_resnext.infer_torchvision_resnext_test")
    task = ik_registry.create_algorithm("infer_torchvision_resnext", public_hub=False)
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    data_dict["images"]["detection"]["coco"] = str(tmp_path / "broken.jpg")
    with pytest.raises(OSError, match="cannot identify"):
        check.test(task, data_dict)


def test_the_hubs_check_of_the_training_fails_without_images(data_dict, tmp_path, imagenet_cache):
    check = importlib.import_module("train_torchvision_resnext.train_torchvision_resnext_test")
    task = ik_registry.create_algorithm("train_torchvision_resnext", public_hub=False)
    data_dict["datasets"]["classification"]["dataset_classification"] = str(tmp_path / "nowhere")
    with pytest.raises(AssertionError, match="nowhere"):
        check.test(task, data_dict)
