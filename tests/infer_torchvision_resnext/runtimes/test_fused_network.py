"""Convolutions that add the shortcut and cut off below zero: on the CPU with cuDNN's two kernels written out."""

import pytest
import torch
from torch.nn import functional

from benchmarks.random_weights import decided_network
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.answering import answering
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.runtimes import fused_network
from infer_torchvision_resnext.runtimes.fused_network import FusedNetwork
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import crops

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing(36, 32)
SMALL = Architecture((2, 1), 4, 4)
ARCHITECTURES = [
    SMALL,
    Architecture((1,), 2, 8),
    Architecture((1, 1, 1), 1, 16),
    Architecture((1, 2, 1), 4, 4, "cifar"),
]


@pytest.fixture
def cudnn(monkeypatch):
    """cuDNN's kernels by their definition, and how often each was called."""
    calls = {"relu": 0, "add_relu": 0}

    def relu(features, weight, bias, *form):
        calls["relu"] += 1
        return functional.conv2d(features, weight, bias, *form).relu()

    def add_relu(features, weight, added, alpha, *bias_and_form):
        calls["add_relu"] += 1
        found = functional.conv2d(features, weight, *bias_and_form)
        return (found + alpha * added).relu()

    monkeypatch.setattr(torch, "cudnn_convolution_relu", relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", add_relu)
    return calls


@pytest.fixture
def clock(monkeypatch):
    """Says how long each of a layer's two forms takes."""
    seconds = {"_fused": 1.0, "_stepwise": 2.0}

    class Clock:
        def __init__(self, statement, globals, num_threads):  # noqa: A002
            self.work = globals["work"]

        def timeit(self, repeats):
            self.work()
            self.mean = seconds[self.work.func.__name__]
            return self

    monkeypatch.setattr(fused_network, "Timer", Clock)
    return seconds


def network_of(architecture):
    torch.manual_seed(2)
    return answering(decided_network(architecture.build(5)).eval().requires_grad_(False))


def expected_of(architecture, count):
    return TorchRuntime(network_of(architecture), PREPROCESSING, CPU, "fp32").run(crops(count))


def found_by(network, count):
    with torch.no_grad():
        return network(torch.from_numpy(crops(count))).numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_fused_layers_give_torchvisions_logits(architecture, cudnn, clock):
    network = FusedNetwork(network_of(architecture), PREPROCESSING, CPU, torch.float32)
    expected = expected_of(architecture, 3)
    assert expected.std() > 0.1
    assert abs(found_by(network, 3) - expected).max() < 1e-4
    cudnn.update(relu=0, add_relu=0)
    assert abs(found_by(network, 3) - expected).max() < 1e-4
    blocks = sum(architecture.layers)
    assert cudnn == {"relu": 1 + 2 * blocks, "add_relu": blocks}


@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_a_layer_that_is_no_quicker_fused_is_not(slower, cudnn, clock):
    clock["_fused"], clock["_stepwise"] = slower, 1.0
    network = FusedNetwork(network_of(SMALL), PREPROCESSING, CPU, torch.float32)
    found_by(network, 3)
    cudnn.update(relu=0, add_relu=0)
    assert abs(found_by(network, 3) - expected_of(SMALL, 3)).max() < 1e-4
    assert cudnn == {"relu": 0, "add_relu": 0}


def test_a_layer_that_cudnn_cannot_fuse_is_computed_step_by_step(cudnn, clock, monkeypatch):
    whole = torch.cudnn_convolution_relu

    def no_groups(*arguments):
        if arguments[-1] > 1:
            raise RuntimeError("Unable to find an engine to execute this computation")
        return whole(*arguments)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", no_groups)
    network = FusedNetwork(network_of(SMALL), PREPROCESSING, CPU, torch.float32)
    found_by(network, 3)
    cudnn.update(relu=0, add_relu=0)
    assert abs(found_by(network, 3) - expected_of(SMALL, 3)).max() < 1e-4
    blocks = sum(SMALL.layers)
    assert cudnn == {"relu": 1 + blocks, "add_relu": blocks}


def test_without_cudnn_nothing_is_fused_and_nothing_changes():
    network = FusedNetwork(network_of(SMALL), PREPROCESSING, CPU, torch.float32)
    assert abs(found_by(network, 3) - expected_of(SMALL, 3)).max() < 1e-4


def test_pooling_and_classifier_are_in_fp32_when_the_rest_is_not():
    network = FusedNetwork(network_of(SMALL), PREPROCESSING, CPU, torch.bfloat16)
    features = []
    network._features.register_forward_hook(lambda module, arguments, result: features.append(result.double()))
    logits = found_by(network, 4)
    exact = network_of(SMALL).head.double()(features[0]).numpy()
    assert abs(logits - exact).max() < 1e-5 * abs(exact).max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float16, 0.05)], ids=str)
def test_on_a_gpu_fused_layers_give_torchvisions_logits(dtype, tolerance):
    architecture = Architecture((1, 1, 1, 1), 32, 4)
    device = torch.device("cuda", 0)
    network = FusedNetwork(network_of(architecture), PREPROCESSING, device, dtype)
    with torch.no_grad():
        found = [network(torch.from_numpy(crops(8)).to(device)).cpu().numpy() for _ in range(2)]
    assert all(abs(each - expected_of(architecture, 8)).max() < tolerance for each in found)
    fused = [module._one_kernel for module in network.modules() if hasattr(module, "_one_kernel")]
    assert any(fused), "cuDNN fuses no layer here"
