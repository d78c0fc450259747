import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.model import Model
from infer_torchvision_resnext.model.weights import WeightsError, fingerprint, load_model, read_labels
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.golden import Golden, write_golden
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture

_KEPT: list[Cache] = []
"""Temporary caches live as long as the models that were loaded through them."""

RESNEXT50 = Architecture.from_name("resnext50")


@pytest.fixture(scope="module")
def two_class_state():
    torch.manual_seed(0)
    return RESNEXT50.build(2).state_dict()


@pytest.fixture
def files(two_class_state, tmp_path):
    """A folder with a two-class ResNeXt-50 as .pth and .safetensors, and its labels."""
    torch.save(two_class_state, tmp_path / "model.pth")
    save_file(two_class_state, tmp_path / "model.safetensors")
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfant\r\nbee\r\n\r\n")
    return tmp_path


def load(weights, class_file="", model_name="resnext50") -> Model:
    parameters = Parameters(weights=str(weights), class_file=str(class_file), model_name=model_name)
    model = load_model(parameters, cache := Cache())
    _KEPT.append(cache)
    return model


@pytest.mark.parametrize(
    ("name", "resolved", "resize_size"),
    [
        ("DEFAULT", "IMAGENET1K_V2", 232),
        ("IMAGENET1K_V2", "IMAGENET1K_V2", 232),
        ("IMAGENET1K_V1", "IMAGENET1K_V1", 256),
    ],
)
def test_published_weights_come_from_torch_hubs_cache(imagenet_cache, name, resolved, resize_size):
    model = load(name)
    assert model.source == resolved
    assert model.preprocessing == Preprocessing(resize_size, 224)
    assert (len(model.labels), model.labels[0]) == (1000, "tench")
    file = {"IMAGENET1K_V1": "resnext50_32x4d-7cdf4587.pth", "IMAGENET1K_V2": "resnext50_32x4d-1a0047aa.pth"}[resolved]
    stored = torch.load(imagenet_cache / file, weights_only=True)
    assert all(torch.equal(model.state[key], stored[key]) for key in stored)


def test_a_resnets_published_weights_are_loaded_as_the_others(resnet_cache):
    model = load("IMAGENET1K_V1", model_name="resnet50")
    assert model.architecture == Architecture((3, 4, 6, 3), 1, 64)
    assert (len(model.labels), model.preprocessing) == (1000, Preprocessing(256, 224))
    stored = torch.load(resnet_cache, weights_only=True)
    assert all(torch.equal(model.state[key], stored[key]) for key in stored)


def test_a_member_without_published_weights_is_refused():
    with pytest.raises(WeightsError, match="torchvision publishes none for resnext26_8x16d: set the path of your own"):
        load_model(Parameters(model_name="resnext26_8x16d"), Cache())


def test_a_bare_file_of_the_cifar_form_is_loaded(tmp_path):
    state = Architecture.from_name("resnext11_2x4d").build(2).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    assert load(tmp_path / "model.safetensors", model_name="resnext11_2x4d").architecture.stem == "cifar"
    with pytest.raises(WeightsError, match=r"holds resnext11_2x4d, but resnext20_2x4d was asked for: set model_name"):
        load(tmp_path / "model.safetensors", model_name="resnext20_2x4d")


def test_without_connection_and_cache_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        load("IMAGENET1K_V1")
    message = str(caught.value)
    assert "resnext50_32x4d-7cdf4587.pth is not in torch hub's cache and could not be downloaded" in message
    assert "download https://download.pytorch.org/models/resnext50_32x4d-7cdf4587.pth and put it into" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("file", ["model.pth", "model.safetensors"])
def test_bare_files_load_with_their_labels(files, two_class_state, file):
    model = load(files / file, files / "labels.txt")
    assert model.labels == ("ant", "bee")
    assert model.architecture == RESNEXT50
    assert model.preprocessing == Preprocessing(256, 224)
    assert all(torch.equal(model.state[key], two_class_state[key]) for key in two_class_state)


def test_labels_beside_the_weights_are_found(files):
    (files / "classes.txt").write_text("wasp\nfly\n")
    assert load(files / "model.pth").labels == ("wasp", "fly")


def test_a_thousand_classes_without_labels_are_imagenets(imagenet_cache, caplog):
    model = load(imagenet_cache / "resnext50_32x4d-7cdf4587.pth")
    assert (len(model.labels), model.labels[1]) == (1000, "goldfish")
    assert "no class_file, and 1000 classes: taken to be ImageNet's" in caplog.text


def test_a_model_folder_brings_everything_itself(tiny_folder):
    model = load(tiny_folder, model_name="resnext101")
    assert (model.architecture, model.labels) == (Architecture((1, 1), 4, 4), ("ant", "bee", "cat"))
    assert model.preprocessing == Preprocessing(36, 32)


@pytest.mark.parametrize("file", ["model.pth", "model.safetensors"])
def test_a_truncated_file_is_refused_with_both_sizes(files, file):
    whole = (files / file).read_bytes()
    (files / file).write_bytes(whole[:1_000_000])
    with pytest.raises(
        WeightsError, match=r"cut short: it has 1,000,000 bytes, the weights of resnext50_32x4d take about 9"
    ):
        load(files / file, files / "labels.txt")


def test_wrong_companions_are_refused_with_both_numbers(files, tmp_path, imagenet_cache):
    (files / "three.txt").write_text("a\nb\nc\n")
    cases = [
        ((files / "model.pth", files / "three.txt"), r"model\.pth has 2 classes, but .*three\.txt has 3 labels"),
        ((files / "model.pth", ""), r"class_file is empty, but .*model\.pth has 2 classes"),
        ((files / "model.pth", files / "gone.txt"), r"class_file = .*gone\.txt.*there is no such file"),
        (
            (files / "model.pth", files / "labels.txt", "resnext101"),
            "holds resnext50_32x4d, but resnext101_32x8d was asked for: set model_name to what the file holds",
        ),
        ((files / "gone.pth", ""), r"there is no such file or folder \(looked for .*gone\.pth\)"),
        ((files / "labels.txt", ""), r"a \.txt file; expected one of \.safetensors, \.pth, \.pt"),
        ((files, ""), r"is not a model folder: it has no config\.json"),
    ]
    for arguments, message in cases:
        with pytest.raises(WeightsError, match=message):
            load(*arguments)


def test_a_folder_whose_parts_contradict_each_other_is_refused(tiny_folder, tiny_state, tmp_path):
    folder = tmp_path / "model"
    write_model_folder(
        folder, ModelConfig.of(Architecture((1, 1), 4, 4), ("a", "b", "c"), Preprocessing(36, 32)), tiny_state
    )
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"cardinality": 4', '"cardinality": 8'))
    with pytest.raises(
        WeightsError, match=r"holds resnext8_4x4d \(layers 1,1\), but resnext8_8x4d .* different models"
    ):
        load(folder)
    (folder / "config.json").write_text(config)
    state = dict(tiny_state) | {"fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"has 5 classes, but config\.json has 3 labels"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"the model folder has no model\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no label"), (b"\r\n \n", "holds no label"), (b"\xff\xfe\x00", "as UTF-8 text")],
)
def test_class_files_without_labels_are_refused(tmp_path, content, message):
    (tmp_path / "c.txt").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_labels(tmp_path / "c.txt")


def test_the_fingerprint_follows_files_and_parameters(files):
    def of(**parameters):
        return fingerprint(Parameters(weights=str(files / "model.pth"), **parameters))

    before = of()
    assert of() == before
    assert of(top_k=3, batch_size=1, region="image", input_size=64) == before
    assert of(class_file="x") != before
    (files / "classes.txt").write_text("a\nb\n")
    with_labels = of()
    assert with_labels != before
    os.utime(files / "model.pth", ns=(1, 1))
    assert of() != with_labels


@pytest.mark.parametrize(
    ("architecture", "model_name"),
    [
        (Architecture((1, 1, 1), 4, 4), "resnext11_4x4d"),
        (Architecture((1, 1, 1), 4, 4, "cifar"), "resnext11_4x4d"),
        (Architecture((1, 1), 4, 4), "resnext50"),
        (Architecture((1, 2, 1, 1), 4, 4, "cifar"), "resnext50"),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_bare_file_says_itself_what_its_name_does_not(architecture, model_name, suffix, tmp_path, cache):
    """The stem, and layers that are not the usual ones."""
    file = tmp_path / f"{architecture.name}{suffix}"
    state = architecture.build(3).state_dict()
    torch.save(state, file) if suffix == ".pth" else save_file(state, file)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    model = load_model(Parameters(weights=str(file), model_name=model_name), cache)
    assert model.architecture == architecture


def two_files(folder):
    """Of one name, size and time, in two folders, with other weights."""
    torch.manual_seed(0)
    files = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        file = folder / name / "model.pth"
        torch.save(Architecture((1, 1, 1), 4, 4, "cifar").build(3).state_dict(), file)
        (folder / name / "classes.txt").write_text("a\nb\nc\n")
        os.utime(file, ns=(10**18, 10**18))
        files.append(file)
    assert files[0].stat().st_size == files[1].stat().st_size
    return files


def test_files_of_one_name_size_and_time_are_told_apart(tmp_path, cache):
    first, second = (
        load_model(Parameters(weights=str(file), model_name="resnext11_4x4d"), cache).state["fc.weight"]
        for file in two_files(tmp_path)
    )
    assert not torch.equal(first, second)


def hostile(folder, change):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["resnext"].update(resize_size=10**9), "resize_size 1000000000, and that at most 16384"),
        (lambda c: c["resnext"].update(resize_size=10**9, crop_size=10**9), "at most 16384"),
        (lambda c: c["resnext"].update(crop_size=0), "crop_size 0 must be at least 1"),
        (lambda c: c["pretrained_cfg"].update(std=[0, 1, 1]), "std above 0"),
        (lambda c: c["pretrained_cfg"].update(mean=[1e999, 1, 1]), "finite"),
        (lambda c: c["pretrained_cfg"].update(interpolation="bicubic"), "interpolation.*bilinear"),
        (lambda c: c["resnext"].update(layers=[10**6] * 4), "one to four stages of 1 to 256 blocks"),
        (lambda c: c["resnext"].update(cardinality=10**6), "at most 4096"),
        (lambda c: c.update(num_classes=10**9), "num_classes"),
        (lambda c: c.update(label_names=["a" * 10**6, "b", "c"]), "has 1000000 characters, at most 1000"),
        (lambda c: c.update(label_names=["a\nb", "b", "c"]), "line break"),
    ],
)
def test_a_hostile_configuration_is_refused_before_it_costs_anything(change, message, tiny_folder, tmp_path, cache):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    hostile(folder, change)
    with pytest.raises(WeightsError, match=message):
        load_model(Parameters(weights=str(folder)), cache)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "config.json").write_text("[" * 100_000),
            "is not the configuration of a ResNeXt model",
        ),
        (lambda folder: os.truncate(folder / "config.json", 2**40), "at most 67,108,864 may be"),
        (lambda folder: os.truncate(folder / "golden.safetensors", 2**40), "at most 1,073,741,824 may be"),
    ],
)
def test_hostile_files_are_refused(damage, message, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "golden.safetensors").touch()
    damage(folder)
    with pytest.raises(WeightsError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tensor: tensor.to_sparse(), "fc.weight is a sparse tensor, expected dense ones"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "fc.weight is a quantized tensor"),
    ],
)
def test_tensors_of_other_kinds_are_refused_by_name(make, message, tiny_state, tmp_path, cache):
    file = tmp_path / "model.pth"
    torch.save({**tiny_state, "fc.weight": make(tiny_state["fc.weight"])}, file)
    with pytest.raises(WeightsError, match=message):
        load_model(Parameters(weights=str(file)), cache)


def test_the_folder_of_a_run_is_known_as_such(tiny_folder, tmp_path, cache):
    shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    parameters = Parameters(weights=str(tmp_path / "run"))
    model = load_model(parameters, cache)
    assert model.weights.path == tmp_path / "run" / "model" / "model.safetensors"
    assert model.notes == (f"weights = '{tmp_path / 'run'}' is the folder of a training run: its model/ is used",)
    before = fingerprint(parameters)
    (tmp_path / "run" / "model" / "golden.safetensors").write_bytes(b"")
    assert fingerprint(parameters) != before


def test_weights_that_change_while_the_model_is_loaded_are_refused(tiny_folder, tiny_state, tmp_path):
    """What was decided for one content must not be kept of another."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    model = load(folder)
    save_file({**tiny_state, "fc.bias": tiny_state["fc.bias"].flip(0)}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"model\.safetensors was changed while the model was being"):
        _ = model.state


def test_a_model_is_read_once(tiny_folder, tmp_path):
    """What was read stays what it is, whatever becomes of the folder."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    write_golden(folder, Golden(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 3), np.float32)))
    model = load(folder)
    state = model.state
    shutil.rmtree(folder)
    assert len(model.golden.images) == 2
    assert model.state is state


@pytest.mark.parametrize("name", ["lightning.ckpt", "prefixed.safetensors", "best.pth.tar"])
def test_checkpoints_of_other_tools_answer_as_their_network_does(name, tiny_state, other_state, tmp_path):
    """And what was chosen of them is said, also when the converted file comes from the cache."""
    under_model = {f"model.{key}": value for key, value in tiny_state.items()}
    notes, bias = (), tiny_state["fc.bias"]
    if name == "lightning.ckpt":
        torch.save({"state_dict": {**under_model, "loss.weight": torch.ones(3)}, "epoch": 1}, tmp_path / name)
        notes = (f"1 of {len(under_model) + 1} tensors are not under 'model.' and left out: loss.weight",)
    elif name == "best.pth.tar":
        torch.save({"arch": "resnext8", "state_dict": tiny_state, "state_dict_ema": other_state}, tmp_path / name)
        notes, bias = ("the averaged weights of the checkpoint (state_dict_ema) are used",), other_state["fc.bias"]
    else:
        save_file(under_model, tmp_path / name)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        model = load_model(Parameters(weights=str(tmp_path / name)), cache)
        assert model.notes == notes
        assert torch.equal(model.state["fc.bias"], bias)


@pytest.mark.parametrize("name", ["DIGITS", "2026", "V2"])
def test_a_folder_may_be_called_by_capitals_and_digits(name, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=rf"weights = '{name}': there is no such file or folder .*; give DEFAULT"):
        load(name)
    shutil.copytree(tiny_folder, tmp_path / name)
    assert load(name).labels == ("ant", "bee", "cat")


def test_a_folder_written_by_timm_is_named_as_such(tmp_path):
    import timm
    from timm.models._hub import save_for_hf

    network = timm.create_model("resnext50_32x4d", num_classes=3)
    save_for_hf(network, tmp_path, model_config={"label_names": ["a", "b", "c"]}, safe_serialization=True)
    with pytest.raises(
        WeightsError, match=r"was written by timm \(architecture resnext50_32x4d\).*set weights to .*mod"
    ):
        load(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    model = load(tmp_path / "model.safetensors")
    assert torch.equal(model.state["fc.bias"], network.fc.bias)
