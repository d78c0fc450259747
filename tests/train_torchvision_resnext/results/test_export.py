import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.images.opencv import import_ikomia, opencv
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from train_torchvision_resnext.resnext.network.architecture import Architecture
from train_torchvision_resnext.resnext.network.conversion import ConversionError
from train_torchvision_resnext.results.export import export_onnx
from train_torchvision_resnext.run.progress import TrainingError
from train_torchvision_resnext.training import train

LABELS = ("ant", "bee, honey", "Käfer 甲虫")
PREPROCESSING = Preprocessing(36, 32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture
def network():
    return network_of(Architecture((1, 1), 4, 4))


def network_of(architecture):
    torch.manual_seed(0)
    network = architecture.build(len(LABELS))
    # A step of training, so that batch norm's running statistics matter.
    network(torch.rand(8, 3, 32, 32))
    nn.init.normal_(network.fc.weight)
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file that is alone in its folder, its network, and how far their logits are apart."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    network = network_of(Architecture((1, 1), 4, 4))
    return path, network, export_onnx(network, LABELS, PREPROCESSING, path, crops(4))


@pytest.mark.parametrize("architecture", [Architecture((1, 1, 1), 2, 4, "cifar"), Architecture((1, 1), 1, 8)], ids=str)
def test_both_stems_and_resnets_are_exported(tmp_path, architecture):
    network = network_of(architecture)
    path = tmp_path / "model.onnx"
    assert 0 <= export_onnx(network, LABELS, PREPROCESSING, path, crops(4)) < 1e-4
    images = crops(3)
    pixels = PREPROCESSING.normalize(torch.from_numpy(images)).numpy()
    (logits,) = onnxruntime.InferenceSession(str(path)).run(["logits"], {"pixels": pixels})
    np.testing.assert_allclose(logits, eager(network, images), atol=1e-4)


def crops(count, side=32):
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


def eager(network, images):
    with torch.inference_mode():
        return network.eval()(PREPROCESSING.normalize(torch.from_numpy(images))).numpy()


def test_answers_as_the_network_at_any_batch_size(exported):
    path, network, difference = exported
    assert 0 <= difference < 1e-4
    session = onnxruntime.InferenceSession(str(path))
    for count in (1, 3, 9):
        images = crops(count, 32)
        pixels = PREPROCESSING.normalize(torch.from_numpy(images)).numpy()
        (logits,) = session.run(["logits"], {"pixels": pixels})
        assert logits.shape == (count, 3)
        np.testing.assert_allclose(logits, eager(network, images), atol=1e-4)


def test_opencv_and_openvino_read_the_file_too(exported):
    """OpenCV's own reader knows few operations: the graph may not hold a transposition that only tracing asked for."""
    path, network, _ = exported
    assert "Transpose" not in {node.op_type for node in onnx.load(path).graph.node}
    import_ikomia()
    cv2, ov = opencv(), pytest.importorskip("openvino")
    compiled = ov.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for count in (1, 5):
        images = crops(count)
        pixels = np.ascontiguousarray(PREPROCESSING.normalize(torch.from_numpy(images)).numpy())
        expected = eager(network, images)
        in_opencv = cv2.dnn.readNetFromONNX(str(path))
        in_opencv.setInput(pixels)
        np.testing.assert_allclose(in_opencv.forward("logits"), expected, atol=1e-4)
        np.testing.assert_allclose(compiled(pixels)["logits"], expected, atol=1e-4)


@pytest.mark.parametrize("architecture", [Architecture((1, 1, 1), 2, 4, "cifar"), Architecture((1, 1), 1, 8)], ids=str)
def test_opencv_reads_both_stems_and_resnets(tmp_path, architecture):
    network, images = network_of(architecture), crops(3)
    export_onnx(network, LABELS, PREPROCESSING, tmp_path / "model.onnx", crops(2))
    import_ikomia()
    in_opencv = opencv().dnn.readNetFromONNX(str(tmp_path / "model.onnx"))
    in_opencv.setInput(np.ascontiguousarray(PREPROCESSING.normalize(torch.from_numpy(images)).numpy()))
    np.testing.assert_allclose(in_opencv.forward("logits"), eager(network, images), atol=1e-4)


def test_logits_come_first_and_with_them_what_they_were_made_of(exported):
    path, network, _ = exported
    session = onnxruntime.InferenceSession(str(path))
    assert [(output.name, output.shape[1:]) for output in session.get_outputs()] == [
        ("logits", [3]),
        ("features", [512]),
        ("activations", [512, 4, 4]),
    ]
    pixels = PREPROCESSING.normalize(torch.from_numpy(crops(5))).numpy()
    logits, features, activations = session.run(None, {"pixels": pixels})
    assert features == pytest.approx(activations.mean((2, 3)), abs=1e-5)
    weight, bias = network.fc.weight.detach().numpy(), network.fc.bias.detach().numpy()
    maps = np.einsum("cf,nfhw->nchw", weight, activations)
    assert maps.mean((2, 3)) + bias == pytest.approx(logits, abs=1e-4)


def test_is_one_file_that_says_what_it_needs(exported):
    path, *_ = exported
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    metadata = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["label_names"]) == list(LABELS)
    assert json.loads(metadata["preprocessing"]) == {
        "resize_size": 36,
        "crop_size": 32,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.4],
        "value_range": "auto",
    }


def test_holds_no_paths_of_the_machine(exported):
    path, *_ = exported
    assert b"site-packages" not in path.read_bytes()
    assert not any(node.metadata_props for node in onnx.load(path).graph.node)


def test_leaves_the_network_as_it_was(tmp_path, network):
    network.train().to(torch.bfloat16)
    network.conv1.requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    export_onnx(network, LABELS, PREPROCESSING, tmp_path / "model.onnx", crops(2))
    assert network.training
    assert not network.conv1.weight.requires_grad
    assert network.fc.weight.requires_grad
    for key, tensor in network.state_dict().items():
        assert tensor.dtype == before[key].dtype
        assert torch.equal(tensor, before[key])


class Moody(nn.Module):
    """Answers differently each time, as a network does that was exported wrongly."""

    def forward(self, found):
        return found + torch.randn_like(found)


class Untranslatable(nn.Module):
    """Decides by its values, which a graph cannot."""

    def forward(self, found):
        return found if float(found.sum()) > 0 else -found


class Undefined(nn.Module):
    def forward(self, found):
        return found * float("nan")


@pytest.mark.parametrize(
    ("layer", "broken", "message"),
    [
        ("fc", Moody(), r"differs from the trained one by [\d.]+ in its logits, .* no ONNX file was kept"),
        ("avgpool", Moody(), "differs from the trained one by .* in its logits"),
        ("layer3", Moody(), "differs from the trained one by .* in its logits"),
        ("fc", Untranslatable(), "PyTorch cannot export this network"),
        ("fc", Undefined(), "differs from the trained one by nan"),
    ],
)
def test_what_is_not_the_same_is_not_kept(tmp_path, network, layer, broken, message):
    setattr(network, layer, nn.Sequential(getattr(network, layer), broken))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the last good one")
    with pytest.raises(ConversionError, match=message):
        export_onnx(network, LABELS, PREPROCESSING, path, crops(2))
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"the last good one"


def test_labels_must_fit(tmp_path, network):
    with pytest.raises(ConversionError, match=r"logits of shape \(2, 3\) for 2 labels"):
        export_onnx(network, LABELS[:2], PREPROCESSING, tmp_path / "model.onnx", crops(2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reference", [crops(0), crops(2, 31), crops(2)[0]])
def test_reference_must_be_crops(tmp_path, network, reference):
    with pytest.raises(ValueError, match=r"reference has the shape .* expected N x 32 x 32 x 3, N at least 1"):
        export_onnx(network, LABELS, PREPROCESSING, tmp_path / "model.onnx", reference)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_what_is_not_installed_is_told_before_training(missing, tmp_path, monkeypatch):
    root = write_digits(tmp_path / "digits", {"train": 4, "val": 2})
    monkeypatch.setitem(sys.modules, missing, None)
    asked = read_host_map({**TINY, "export_onnx": "True", "output_folder": str(tmp_path / "runs")})
    with pytest.raises(TrainingError) as caught:
        train(root, asked)
    (problem,) = caught.value.problems
    assert problem.startswith("export_onnx = True: ONNX export needs the packages onnx, onnxscript and onnxruntime")
    assert f"'{missing}'" in problem or f"of {missing} " in problem
    assert "run pip install onnx onnxscript onnxruntime" in problem
    assert problem.endswith("or set export_onnx to False")
