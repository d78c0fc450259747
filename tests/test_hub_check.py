"""The files that the HUB's CI runs, run as it does, on stand-ins for its photo and its dataset."""

import importlib

import pytest
from ikomia.dataprocess.registry import ik_registry

from tests.image_folders import write_two_levels


@pytest.fixture
def data_dict(photo_path, tmp_path):
    """Paths in the HUB's structure; the dataset has two classes, three images each to train and one to validate."""
    dataset = write_two_levels(tmp_path / "dataset", {"train": 3, "val": 1}, 64, 48)
    return {
        "images": {"detection": {"coco": photo_path}},
        "datasets": {"classification": {"dataset_classification": str(dataset)}},
    }


@pytest.mark.usefixtures("few_images")
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
