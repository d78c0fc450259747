import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from infer_torchvision_resnext.resnext.folder.model_folder import (
    ModelConfig,
    ModelFolderError,
    read_config,
    write_model_folder,
)
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture

SMALL = Architecture((1, 1, 1, 1), 2, 4)


def config_of(labels=("ant", "bée"), architecture=SMALL):
    return ModelConfig.of(architecture, labels, Preprocessing(36, 32, std=(0.1, 0.2, 0.3)))


def test_what_was_written_is_read(tmp_path):
    state = SMALL.build(2).half().state_dict()
    folder = tmp_path / "runs" / "new" / "model"
    write_model_folder(folder, config_of(), state, lambda draft: (draft / "metrics.json").touch())
    assert sorted(path.name for path in folder.iterdir()) == [
        "classes.txt",
        "config.json",
        "metrics.json",
        "model.safetensors",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    config = read_config(folder)
    assert config.network == SMALL
    assert config.preprocessing == Preprocessing(36, 32, std=(0.1, 0.2, 0.3))
    assert config.label_names == ("ant", "bée")
    assert (folder / "classes.txt").read_text(encoding="utf-8") == "ant\nbée\n"
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}  # what Hugging Face's loaders ask for
    saved = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(saved[key], state[key].to(saved[key].dtype)) for key in state)


@pytest.mark.parametrize(
    "architecture",
    [SMALL, Architecture((1, 1, 1, 1), 1, 64), Architecture.from_name("resnext50"), Architecture.from_name("resnet50")],
    ids=str,
)
def test_timm_opens_it_with_the_same_answers(tmp_path, architecture):
    import timm

    network = architecture.build(2).eval()
    write_model_folder(tmp_path / "model", config_of(architecture=architecture), network.state_dict())
    opened = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(opened(images), network(images), atol=1e-5)
    assert list(opened.pretrained_cfg["input_size"]) == [3, 32, 32]
    assert opened.pretrained_cfg["crop_pct"] == pytest.approx(32 / 36)


def test_a_second_model_replaces_the_first_whole(tmp_path):
    write_model_folder(tmp_path / "model", config_of(), SMALL.build(2).state_dict())
    (tmp_path / "model" / "left-over.txt").write_text("old")
    write_model_folder(tmp_path / "model", config_of(("x", "y", "z")), SMALL.build(3).state_dict())
    assert read_config(tmp_path / "model").label_names == ("x", "y", "z")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "classes.txt",
        "config.json",
        "model",
        "model.safetensors",
    ]


def test_a_failure_leaves_the_old_model_and_no_trace(tmp_path):
    write_model_folder(tmp_path / "model", config_of(), SMALL.build(2).state_dict())
    with pytest.raises(ModelFolderError, match="the weights have 3 classes, the labels are 2"):
        write_model_folder(tmp_path / "model", config_of(), SMALL.build(3).state_dict())
    shared = torch.zeros(4)
    broken = {**SMALL.build(2).state_dict(), "one": shared, "other": shared}
    with pytest.raises(RuntimeError, match="share memory"):
        write_model_folder(tmp_path / "model", config_of(), broken)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert read_config(tmp_path / "model").num_classes == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 3}, "num_classes is 3, but label_names has 2 labels"),
        ({"label_names": ["a", "b\nc"]}, "holds a line break"),
        ({"label_names": ["a", ""]}, "is empty or holds a line break"),
        ({"resnext": {"format_version": 99}}, "format_version 99, this plugin reads up to 1: update the plugin"),
        ({"resnext": {"format_version": 1}}, r"resnext\.layers: Field required"),
        ({"resnext": None}, "not the configuration of a ResNeXt model folder"),
        (
            {"resnext": {**config_of().resnext.model_dump(), "stem": "tiny"}},
            r"resnext\.stem: Input should be 'imagenet' or 'cifar'",
        ),
        ({"pretrained_cfg": {}}, r"pretrained_cfg\.mean: Field required"),
    ],
)
def test_a_broken_configuration_is_refused_by_file_and_key(tmp_path, change, message):
    write_model_folder(tmp_path / "model", config_of(), SMALL.build(2).state_dict())
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}))
    with pytest.raises(ModelFolderError, match=message) as caught:
        read_config(tmp_path / "model")
    assert "config.json" in str(caught.value)


def test_unknown_keys_are_ignored(tmp_path):
    write_model_folder(tmp_path / "model", config_of(), SMALL.build(2).state_dict())
    path = tmp_path / "model" / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["later"] = content["resnext"]["temperature"] = 1.5
    path.write_text(json.dumps(content))
    assert read_config(tmp_path / "model").network == SMALL


def test_the_stem_is_kept_and_folders_of_before_it_are_read(tmp_path):
    small = Architecture((1, 1), 2, 4, "cifar")
    write_model_folder(tmp_path / "model", config_of(architecture=small), small.build(2).state_dict())
    path = tmp_path / "model" / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    # timm has no such network: our own name, which it does not open by mistake.
    assert (content["architecture"], content["resnext"]["stem"]) == ("resnext8_2x4d", "cifar")
    assert read_config(tmp_path / "model").network == small
    del content["resnext"]["stem"]
    path.write_text(json.dumps(content))
    assert read_config(tmp_path / "model").network == Architecture((1, 1), 2, 4)


def test_a_resnet_has_torchvisions_name():
    assert config_of(architecture=Architecture.from_name("resnet50")).architecture == "resnet50"


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"resnext": 3}'])
def test_another_file_called_config_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelFolderError, match="not the configuration of a ResNeXt model folder"):
        read_config(tmp_path)


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(ModelFolderError, match=r"is not a model folder: it has no config\.json"):
        read_config(tmp_path)
