"""One setting of threads, for preprocessing and for every runtime."""

import numpy as np
import pytest
import torch

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime


def of_torch(runtime):
    return torch.get_num_threads()


def of_openvino(runtime):
    return runtime._network._requests[0].get_compiled_model().get_property("INFERENCE_NUM_THREADS")


def of_onnxruntime(runtime):
    options = runtime._session.get_session_options()
    # Waiting threads sleep.
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    return options.intra_op_num_threads


@pytest.fixture
def threads_of_torch():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("runtime", "threads", "count_of"),
    # OpenVINO takes no more threads than there are cores.
    [("torch", 3, of_torch), ("openvino", 1, of_openvino), ("onnxruntime", 3, of_onnxruntime)],
)
@pytest.mark.usefixtures("threads_of_torch")
def test_the_setting_reaches_the_runtime(runtime, threads, count_of, tiny_folder, photos):
    pytest.importorskip(runtime)
    classifier = Classifier()
    wanted = {"weights": str(tiny_folder), "device": "cpu", "runtime": runtime, "precision": "fp32"}
    classifier.prepare(Parameters(**wanted, threads=threads))
    classifier.classify([photos[0], photos[1]])
    assert count_of(classifier._loaded.runtime) == threads


@pytest.mark.usefixtures("threads_of_torch")
def test_torch_gets_back_what_it_began_with(tiny_folder):
    classifier = Classifier()
    counts = []
    for threads in (0, 3, 0):
        wanted = {"weights": str(tiny_folder), "device": "cpu", "runtime": "torch", "precision": "fp32"}
        classifier.prepare(Parameters(**wanted, threads=threads))
        counts.append(torch.get_num_threads())
    assert counts[1] == 3
    assert counts[0] == counts[2]


def test_torch_runs_without_openmps_adjustment(openmp_adjusts):
    seen = []
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network.register_forward_hook(lambda *_: seen.append(openmp_adjusts()))
    runtime = TorchRuntime(network.eval(), Preprocessing(16, 16), torch.device("cpu"), "fp32")
    runtime.run(np.zeros((1, 16, 16, 3), np.uint8))
    assert seen == [0]
    assert openmp_adjusts() == 1
