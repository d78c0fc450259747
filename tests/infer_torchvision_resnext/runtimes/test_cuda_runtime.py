"""What runs on a GPU, run on the CPU where that can be, and on a GPU where there is one."""

import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.random_weights import decided_network
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.images.preprocessing import LARGE_PIXELS, Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.runtimes.cuda_runtime import CudaRuntime
from infer_torchvision_resnext.runtimes.folding import fold_batch_norms
from infer_torchvision_resnext.runtimes.runtime import CropsItself
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import crops, model_of

gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
DEVICES = ["cpu", pytest.param("cuda", marks=gpu)]


@pytest.fixture
def model(tiny_folder, cache):
    return model_of(tiny_folder, cache)


@pytest.mark.parametrize("layers", [(1,), (2, 1, 1, 1)], ids=str)
def test_folding_removes_every_batch_normalization_and_changes_nothing(layers):
    torch.manual_seed(3)
    network = decided_network(Architecture(layers, 2, 8).build(5)).eval()
    pixels = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        expected = network(pixels)
        fold_batch_norms(network)
        found = network(pixels)
    assert not [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-4


def test_the_reference_is_not_folded_and_folding_leaves_the_model_alone(model):
    expected = TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(4))
    before = {key: tensor.clone() for key, tensor in model.state.items()}
    # Past `load`, which takes fp32 where the processor does not compute in bf16.
    near = TorchRuntime(model.network(), model.preprocessing, torch.device("cpu"), "bf16")
    assert 0 < np.abs(near.run(crops(4)) - expected).max() < 0.5
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state.items())
    again = TorchRuntime.load(model, "cpu", "fp32", 0)
    assert np.array_equal(again.run(crops(4)), expected)
    assert [each for each in again._network.modules() if isinstance(each, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("device", DEVICES)
def test_logits_are_those_of_the_reference_whatever_the_batch(device, model):
    expected = TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(12))
    runtime = CudaRuntime.load(model, device, "fp32", 0)
    # Each size three times: as it is, captured, replayed.
    for count in (1, 2, 5, 12) * 3:
        assert np.abs(runtime.run(crops(12)[:count]) - expected[:count]).max() < 1e-3
    there = torch.from_numpy(crops(12)).to(device)
    assert np.abs(runtime.run(there[3:9]) - expected[3:9]).max() < 1e-3
    runtime.release_memory()
    assert np.abs(runtime.run(crops(12)[:2]) - expected[:2]).max() < 1e-3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("height", "width"),
    [(427, 640), (640, 427), (224, 224), (50, 70), (1, 1), (3, 900), (1500, 2001), (256, 256), (2400, 2400)],
)
def test_resizing_on_the_device_agrees_with_pil(device, height, width, photos, model):
    image = np.asarray(Image.fromarray(photos[0]).resize((width, height), Image.Resampling.BICUBIC))
    preprocessing = Preprocessing(256, 224)
    runtime = CudaRuntime.load(model, device, "fp32", 0)
    found = runtime.crop([image, image[:, ::-1]], preprocessing).cpu().numpy()
    assert (found.shape, found.dtype) == ((2, 224, 224, 3), np.uint8)
    expected = preprocessing.crop(image)
    difference = np.abs(found[0].astype(int) - expected)
    assert difference.max() <= 1
    # On the CPU a large photo is first made smaller by OpenCV, which rounds.
    assert difference.mean() < (0.2 if height * width >= LARGE_PIXELS else 0.1)
    short = min(height, width)
    if max(height, width) < 4 * short:
        # PIL's own answer, of the whole image.
        size = (256 * width // short, 256 * height // short)
        whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        left, top = (round((side - 224) / 2) for side in size)
        exact = np.abs(found[0].astype(int) - whole[top : top + 224, left : left + 224])
        assert exact.mean() < 0.01
    assert np.array_equal(found[1], runtime.crop([image[:, ::-1]], preprocessing)[0].cpu().numpy())


def test_only_the_runtime_for_gpus_resizes_itself(model):
    assert isinstance(CudaRuntime.load(model, "cpu", "fp32", 0), CropsItself)
    assert not isinstance(TorchRuntime.load(model, "cpu", "fp32", 0), CropsItself)


@pytest.fixture
def on_the_device(monkeypatch, tiny_folder):
    """A classifier whose network is in the runtime for GPUs, on the CPU."""
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.torch_runtime.TorchRuntime", CudaRuntime)
    classifier = Classifier()
    classifier.prepare(Parameters(weights=str(tiny_folder), device="cpu", runtime="torch", top_k=0, batch_size=4))
    return classifier


def test_the_classifier_resizes_where_the_network_is(on_the_device, tiny_folder, photos):
    views = [photos[0][y : y + 90, : 90 + y] for y in range(0, 300, 50)]
    found = on_the_device.classify(views)
    here = Classifier()
    here.prepare(Parameters(weights=str(tiny_folder), device="cpu", runtime="torch", top_k=0, precision="fp32"))
    for one, other in zip(found, here.classify(views), strict=True):
        assert one.answer == other.answer
        assert one.probability == pytest.approx(other.probability, abs=0.01)


def test_a_frame_too_large_for_the_gpu_is_resized_on_the_cpu(on_the_device, monkeypatch, photos):
    expected = on_the_device.classify(photos)

    def no_room(image, *_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("infer_torchvision_resnext.runtimes.cuda_runtime.crop", no_room)
    found = on_the_device.classify(photos)
    assert on_the_device.notes == ["out of memory on the GPU while resizing: resized on the CPU"]
    assert [each.answer for each in found] == [each.answer for each in expected]


def test_the_weights_of_a_frame_size_are_worked_out_once(model, photos):
    runtime = CudaRuntime.load(model, "cpu", "fp32", 0)
    before = runtime._weigh.cache_info().misses
    first = runtime.crop([photos[0]], model.preprocessing)
    # Of rows and of columns.
    assert runtime._weigh.cache_info().misses == before + 2
    assert torch.equal(runtime.crop([photos[0], photos[0]], model.preprocessing)[1], first[0])
    assert runtime._weigh.cache_info().misses == before + 2
    runtime.release_memory()
    assert runtime._weigh.cache_info().currsize == 0


def test_nothing_of_a_runtime_outlives_it(model):
    runtime = CudaRuntime.load(model, "cpu", "fp32", 0)
    runtime.run(crops(2))
    network, weights = weakref.ref(runtime._network), weakref.ref(next(runtime._network.parameters()))
    gc.disable()
    try:
        del runtime
        assert network() is None
        assert weights() is None
    finally:
        gc.enable()


def test_what_another_plugin_records_is_not_broken_by_inference_mode(model, monkeypatch):
    """Tensors made under it cannot be changed outside of it."""
    modes = []
    runtime = CudaRuntime.load(model, "cpu", "fp32", 0)
    runtime._network.register_forward_hook(lambda *_: modes.append(torch.is_inference_mode_enabled()))
    runtime.run(runtime.crop([np.zeros((40, 50, 3), np.uint8)], model.preprocessing))
    assert set(modes) == {False}


def test_a_gpu_that_has_failed_for_good_gives_no_memory_back_and_says_so(model, monkeypatch, caplog):
    def failed():
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")

    runtime = CudaRuntime.load(model, "cpu", "fp32", 0)
    monkeypatch.setattr(torch.cuda, "empty_cache", failed)
    runtime.device = torch.device("cuda", 0)
    runtime.release_memory()
    assert "the GPU gives no memory back: CUDA error: an illegal memory access was encountered" in caplog.text
    assert "kernel errors might" not in caplog.text


def test_after_a_failure_the_next_run_decides_anew(on_the_device, monkeypatch, photos, tiny_folder):
    asked = Parameters(weights=str(tiny_folder), device="cpu", runtime="torch", top_k=0, batch_size=4)
    expected = on_the_device.classify(photos)
    run = CudaRuntime.run

    def failed(self, images):
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(CudaRuntime, "run", failed)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        on_the_device.classify(photos)
    monkeypatch.setattr(CudaRuntime, "run", run)
    failed_runtime = on_the_device._loaded.runtime
    on_the_device.prepare(asked)
    assert on_the_device._loaded.runtime is not failed_runtime
    assert [each.answer for each in on_the_device.classify(photos)] == [each.answer for each in expected]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_a_reload_gives_the_old_weights_back(model):
    def used():
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    CudaRuntime.load(model, "cuda", "fp16", 0).run(crops(2))
    before = used()
    for _ in range(3):
        runtime = CudaRuntime.load(model, "cuda", "fp16", 0)
        runtime.run(crops(12))
        del runtime
    assert used() <= before
