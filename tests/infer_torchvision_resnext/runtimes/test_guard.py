"""What may answer is measured by the ways that will answer, and `auto` always ends in an answer.

The GPU is emulated: torch says that there is one, and what is sent there stays on the CPU, or fails as a GPU fails.
"""

import weakref

import numpy as np
import pytest
import torch

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.devices import DeviceError, OutOfMemoryError
from infer_torchvision_resnext.runtimes import candidates, torch_crop, torch_runtime
from infer_torchvision_resnext.runtimes.agreement import answers, generated_images
from infer_torchvision_resnext.runtimes.cuda_runtime import CudaRuntime
from infer_torchvision_resnext.runtimes.packages import is_installed
from infer_torchvision_resnext.runtimes.runtime import Configuration
from infer_torchvision_resnext.runtimes.selection import choose, load

CPU = torch.device("cpu")
TOO_OLD = "CUDA error: no kernel image is available for execution on the device"
FULL = "CUDA error: out of memory"


@pytest.fixture(scope="module")
def converted(tiny_folder, tmp_path_factory):
    """The tiny network in the formats of the CPU's runtimes: where torch believes in a GPU, it cannot be converted."""
    cache = Cache(tmp_path_factory.mktemp("converted"))
    for runtime in filter(is_installed, ("openvino", "onnxruntime")):
        load(load_model(Parameters(weights=str(tiny_folder)), cache), Configuration(runtime, "fp32"), 1, cache)


@pytest.fixture
def emulated_gpu(converted, monkeypatch):
    """A GPU to which nothing need be sent, since it is the CPU."""
    monkeypatch.setattr(candidates, "gpu_is_there", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for module in (candidates, torch_runtime):
        monkeypatch.setattr(module, "resolve_device", lambda device: CPU)


@pytest.fixture
def failing_gpu(emulated_gpu, monkeypatch):
    """Have every convolution on it fail."""

    def fails(words):
        def convolution(self, features):
            raise RuntimeError(f"{words}\nCUDA kernel errors might be asynchronously reported")

        monkeypatch.setattr("infer_torchvision_resnext.runtimes.fused_network.FusedNetwork.forward", convolution)

    return fails


def chosen(folder, cache, **parameters):
    asked = Parameters(**{"weights": str(folder), "device": "auto", **parameters})
    runtime, choice = choose(load_model(asked, cache), asked, cache)
    return runtime, choice, choice.notes(asked)


@pytest.mark.usefixtures("emulated_gpu")
def test_auto_takes_a_gpu_that_keeps_the_answers(tiny_folder, cache):
    runtime, choice, notes = chosen(tiny_folder, cache)
    assert isinstance(runtime, CudaRuntime)
    assert choice.configuration == Configuration("torch", "fp32", "cuda")
    assert choice.agreement.largest_change < 1e-4
    assert notes == []


@pytest.mark.parametrize("words", [TOO_OLD, FULL, "CUDA error: unspecified launch failure"])
@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_a_gpu_that_fails_leaves_the_work_to_the_cpu_and_a_note_says_why(
    words, runtime, failing_gpu, *, tiny_folder, cache
):
    failing_gpu(words)
    found, choice, notes = chosen(tiny_folder, cache, runtime=runtime)
    assert choice.configuration.device == found.describe()["device"] == "cpu"
    assert notes == [f"the GPU is not used: {words}"]


def test_the_note_reaches_the_user(failing_gpu, tiny_folder):
    failing_gpu(TOO_OLD)
    said = []
    classifier = Classifier(say=said.append)
    classifier.prepare(Parameters(weights=str(tiny_folder), device="auto"))
    classifier.classify([np.zeros((40, 40, 3), np.uint8)])
    assert classifier.notes == [f"the GPU is not used: {TOO_OLD}"]
    assert classifier.notes[0] in said


@pytest.mark.parametrize(("words", "kept"), [(TOO_OLD, 1), (FULL, 0)])
def test_only_what_will_be_so_tomorrow_is_remembered(words, kept, failing_gpu, *, tiny_folder, cache, tmp_path):
    failing_gpu(words)
    for _ in range(2):
        assert chosen(tiny_folder, cache)[2] == [f"the GPU is not used: {words}"]
    decisions = tmp_path / "cache" / "decisions"
    assert len(list(decisions.iterdir()) if decisions.is_dir() else []) == kept


def test_a_gpu_that_was_asked_for_fails_as_it_fails(failing_gpu, tiny_folder, cache):
    failing_gpu(TOO_OLD)
    with pytest.raises(RuntimeError, match="no kernel image"):
        chosen(tiny_folder, cache, device="cuda", precision="fp32")
    with pytest.raises(DeviceError, match="fp16: precision = 'fp16': needs a GPU"):
        chosen(tiny_folder, cache, precision="fp16", runtime="torch")


def test_what_auto_leaves_to_the_cpu_is_not_taken_for_a_gpu_that_was_asked_for(failing_gpu, tiny_folder, cache):
    failing_gpu(TOO_OLD)
    assert chosen(tiny_folder, cache, precision="fp32")[1].configuration.device == "cpu"
    with pytest.raises(RuntimeError, match="no kernel image"):
        chosen(tiny_folder, cache, device="cuda", precision="fp32")


def test_a_decision_for_a_gpu_that_fails_now_is_made_anew(emulated_gpu, failing_gpu, tiny_folder, cache):
    assert chosen(tiny_folder, cache)[1].configuration.device == "cuda"
    failing_gpu(FULL)
    assert chosen(tiny_folder, cache)[1].configuration.device == "cpu"


@pytest.mark.usefixtures("emulated_gpu")
def test_a_gpu_that_does_not_compute_in_bf16_answers_in_fp32_and_a_note_says_so(tiny_folder, cache, monkeypatch):
    monkeypatch.setattr(torch_runtime, "quick_formats", lambda device: ("fp16",))
    runtime, choice, notes = chosen(tiny_folder, cache, precision="bf16")
    assert choice.configuration == Configuration("torch", "fp32", "cuda")
    assert runtime.describe()["precision"] == "fp32"
    assert notes == ["precision = 'bf16': this processor does not compute in it; answered in fp32"]


@pytest.mark.usefixtures("emulated_gpu")
@pytest.mark.parametrize(("device", "number"), [("auto", 0), ("cuda:1", 1)])
def test_a_decision_is_for_one_gpu(device, number, *, tiny_folder, cache, tmp_path, monkeypatch):
    for name in ("Old GPU", "New GPU", "New GPU"):
        names = {number: name}
        monkeypatch.setattr(
            "infer_torchvision_resnext.runtimes.selection.gpu_identity",
            lambda index, names=names: (names.get(index, "another GPU"), "8", "6"),
        )
        chosen(tiny_folder, cache, device=device)
    assert len(list((tmp_path / "cache" / "decisions").iterdir())) == 2


@pytest.mark.usefixtures("emulated_gpu")
def test_a_gpu_that_resizes_otherwise_is_not_used(tiny_folder, cache, monkeypatch):
    rounded = torch_crop._rounded
    monkeypatch.setattr(torch_crop, "_rounded", lambda planes: rounded(planes).add_(3).clamp_(0, 255))
    _, choice, (note,) = chosen(tiny_folder, cache)
    assert choice.configuration.device == "cpu"
    assert note.startswith("the GPU is not used: resizing differs from the CPU's by up to")


@pytest.mark.parametrize(
    ("cuda", "why"),
    [(None, "is built without CUDA; install the build"), ("13.0", "The NVIDIA driver on your system is too old")],
)
def test_a_torch_that_does_not_match_the_gpu_is_said(cuda, why, *, tiny_folder, cache, monkeypatch):
    def too_old():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(candidates, "gpu_is_there", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", too_old)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    for _ in range(2):
        _, choice, (note,) = chosen(tiny_folder, cache, precision="fp32")
        assert choice.configuration.device == "cpu"
        assert note.startswith("the GPU is not used: ")
        assert why in note


def test_an_unused_accelerator_is_said(tiny_folder, cache, monkeypatch):
    monkeypatch.setattr(candidates, "gpu_is_there", lambda: False)
    monkeypatch.setattr(candidates, "unused_accelerators", lambda: ["Apple's GPU is not used: ..."])
    assert chosen(tiny_folder, cache)[2] == ["Apple's GPU is not used: ..."]
    assert chosen(tiny_folder, cache, device="cpu")[2] == []


class Stub:
    """A runtime with room for so many images, which answers with each image's mean."""

    def __init__(self, room):
        self.room, self.ran, self.held = room, [], None

    def run(self, images):
        self.ran.append(len(images))
        if len(images) > self.room:
            computed = np.zeros(len(images))
            self.held = weakref.ref(computed)
            raise OutOfMemoryError("CUDA error: out of memory")
        return images.mean((1, 2, 3), dtype=np.float32)[:, None]

    def release_memory(self):
        self.freed = self.held() is None


class Resizing(Stub):
    def crop(self, images, preprocessing):
        self.resized = images[0].shape
        return torch.from_numpy(np.stack([preprocessing.crop(image) for image in images]))


def test_the_guard_runs_single_images_and_batches_and_resizes():
    images, runtime = generated_images(32), Resizing(room=8)
    found = answers(runtime, images, Preprocessing(36, 32))
    assert np.array_equal(found, images.mean((1, 2, 3), dtype=np.float32)[:, None])
    assert runtime.ran == [1, 1, 1, 8, 5]
    assert runtime.resized == (96, 128, 3)
    runtime.ran.clear()
    assert len(answers(runtime, images[:2], Preprocessing(36, 32))) == 2
    assert runtime.ran == [1, 1]


def test_with_less_room_the_guard_runs_halves():
    images, runtime = generated_images(32), Stub(room=3)
    found = answers(runtime, images, Preprocessing(36, 32))
    assert np.array_equal(found, images.mean((1, 2, 3), dtype=np.float32)[:, None])
    assert runtime.ran[3:9] == [8, 4, 2, 2, 4, 2]
    # What the error held is gone by the time that memory is given back.
    assert runtime.freed
