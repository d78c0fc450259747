"""What activation maps are made of, out of the one forward pass of every runtime."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infer_torchvision_resnext.answers.activation_map import Mapper
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.folder.names import INT8_GRAPH
from infer_torchvision_resnext.resnext.folder.quantization import Validation, quantize
from infer_torchvision_resnext.resnext.folder.weight_files import read_classifier
from infer_torchvision_resnext.resnext.machine.devices import DeviceError
from infer_torchvision_resnext.resnext.network.outputs import Outputs
from infer_torchvision_resnext.runtimes.cuda_runtime import CudaRuntime
from infer_torchvision_resnext.runtimes.runtime import Configuration
from infer_torchvision_resnext.runtimes.selection import load
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import crops, model_of
from tests.tiny_model import ARCHITECTURE, LABELS, PREPROCESSING

pytest.importorskip("openvino")

SIDE = PREPROCESSING.crop_size


@pytest.fixture(scope="module")
def folder(tiny_folder, tmp_path_factory):
    """A model folder with an int8 network."""
    pytest.importorskip("nncf")
    folder = shutil.copytree(tiny_folder, tmp_path_factory.mktemp("models") / "m")
    quantize(folder, [crops(1, SIDE)] * 4, Validation([crops(1, SIDE)]), max_drop=1)
    return folder


def with_activations(folder, cache):
    return replace(model_of(folder, cache), activations=True)


def on_the_cpu(model):
    return CudaRuntime.load(model, "cpu", "fp32", 0)


# The largest distance between a logit and its map's mean and the bias.
@pytest.mark.parametrize(
    ("runtime", "precision", "tolerance"),
    [
        ("torch", "fp32", 1e-5),
        ("openvino", "fp32", 1e-5),
        ("onnxruntime", "fp32", 1e-5),
        ("cuda, on the CPU", "fp32", 1e-5),
        ("openvino", "bf16", 0.05),
        ("openvino", "int8", 0.2),
    ],
)
def test_the_mean_of_a_map_and_the_bias_are_the_logit(runtime, precision, tolerance, folder, cache):
    pytest.importorskip(runtime.split(",")[0] if runtime != "cuda, on the CPU" else "torch")
    models = model_of(folder, cache), with_activations(folder, cache)
    if runtime == "cuda, on the CPU":
        without, network = map(on_the_cpu, models)
    else:
        without, network = (load(each, Configuration(runtime, precision), 0, cache) for each in models)
    images = crops(11, SIDE)
    outputs = Outputs.of(network.run(images), len(LABELS), ARCHITECTURE.features)
    assert outputs.activations.shape == (11, ARCHITECTURE.features, 4, 4)
    assert outputs.activations.mean((2, 3)) == pytest.approx(outputs.features, abs=tolerance)
    assert np.ptp(outputs.logits) > 1
    weight, bias = read_classifier(folder / "model.safetensors")
    for image in range(len(images)):
        for index, label in enumerate(LABELS):
            found = Mapper(LABELS, weight, bias, label).of(outputs.activations[image], 0)
            assert found.values.mean() + found.bias == pytest.approx(outputs.logits[image, index], abs=tolerance)
    # Asking for maps changes no answer; in int8 OpenVINO rounds at other places then.
    plain = Outputs.of(without.run(images), len(LABELS))
    assert plain.features.shape == (11, ARCHITECTURE.features)
    assert outputs.logits == pytest.approx(plain.logits, abs=0.2 if precision == "int8" else 1e-5)


def test_in_torch_logits_stay_torchvisions_bit_for_bit(folder, cache):
    model = with_activations(folder, cache)
    logits = TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(3, SIDE))[:, : len(LABELS)]
    plain = model.architecture.load(model.state).to(memory_format=torch.channels_last)
    pixels = model.preprocessing.normalize(torch.from_numpy(crops(3, SIDE)))
    with torch.inference_mode():
        expected = plain(pixels.to(memory_format=torch.channels_last)).numpy()
    assert (logits == expected).all()


def test_where_a_map_is_positive_it_is_captums_grad_cam(folder, cache):
    attr = pytest.importorskip("captum.attr")
    model = with_activations(folder, cache)
    rows = TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(1, SIDE))
    (activations,) = Outputs.of(rows, len(LABELS), ARCHITECTURE.features).activations
    found = Mapper(LABELS, *model.classifier, LABELS[2]).of(activations, 0).values
    network = model.architecture.load(model.state)
    pixels = model.preprocessing.normalize(torch.from_numpy(crops(1, SIDE)))
    oracle = attr.LayerGradCam(network, network.layer2).attribute(pixels, target=2, relu_attributions=True)
    # Its gradient is the weight divided by the number of places.
    assert found.clip(min=0) / found.size == pytest.approx(oracle[0, 0].detach().numpy(), abs=1e-6)


def test_an_int8_network_of_before_is_refused_with_the_remedy(folder, cache, tmp_path):
    old = tmp_path / "old"
    write_model_folder(old, ModelConfig.of(ARCHITECTURE, LABELS, PREPROCESSING), model_of(folder, cache).state)
    (old / "openvino").mkdir()
    import openvino as ov

    graph = ov.Core().read_model(folder / INT8_GRAPH)
    ov.save_model(ov.Model(graph.get_results()[:1], graph.get_parameters()), old / INT8_GRAPH)
    (old / "openvino" / "int8.json").write_text(
        (folder / "openvino" / "int8.json").read_text().replace("graph_sha256", "of_another")
    )
    with pytest.raises(DeviceError, match=r"int8\.xml was made before 2\.1 and gives no features; make it again"):
        load(model_of(old, cache), Configuration("openvino", "int8"), 0, cache)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_the_classifier_is_read_from_files_of_any_precision(dtype, tmp_path):
    weight, bias = torch.linspace(-1, 1, 6).view(2, 3), torch.tensor([0.5, -0.25])
    save_file({"fc.weight": weight.to(dtype), "fc.bias": bias.to(dtype)}, tmp_path / "m.safetensors")
    found = read_classifier(tmp_path / "m.safetensors")
    assert [each.dtype for each in found] == [np.float32] * 2
    assert np.array_equal(found[0], weight.to(dtype).float().numpy())
    assert np.array_equal(found[1], [0.5, -0.25])
