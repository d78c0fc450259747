import functools

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model, get_model_weights

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters import Parameters
from infer_torchvision_resnext.resnext.architecture import Architecture
from infer_torchvision_resnext.resnext.devices import DeviceError
from infer_torchvision_resnext.resnext.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.preprocessing import Preprocessing
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime


@pytest.fixture
def ready(tiny_folder):
    """Make a classifier ready with the tiny model folder and further parameters."""

    def prepare(classifier=None, **parameters):
        classifier = classifier or Classifier()
        classifier.prepare(Parameters(**{"weights": str(tiny_folder), "device": "cpu", "top_k": 0, **parameters}))
        return classifier

    return prepare


def probabilities(predictions):
    """N x C, in the order of the classes."""
    table = np.zeros((len(predictions), len(predictions[0].indices)))
    for row, prediction in zip(table, predictions, strict=True):
        row[list(prediction.indices)] = prediction.probabilities
    return table


@pytest.mark.parametrize("name", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_the_same_weights_and_photo_give_torchvisions_probabilities(imagenet_cache, photos, name):
    classifier = Classifier()
    classifier.prepare(Parameters(weights=name, top_k=0, device="cpu", precision="fp32"))
    found = probabilities(classifier.classify(photos))
    weights = get_model_weights("resnext50_32x4d")[name]
    network = get_model("resnext50_32x4d")
    file = imagenet_cache / weights.url.rsplit("/", 1)[-1]
    network.load_state_dict(torch.load(file, weights_only=True))
    preset = weights.transforms()
    with torch.inference_mode():
        batch = torch.stack([preset(Image.fromarray(photo)) for photo in photos])
        expected = network.eval()(batch).softmax(1).numpy()
    assert expected.max() > 0.1, "answers that are all alike would prove nothing"
    assert np.abs(found - expected).max() < 1e-4


def test_an_answer_does_not_depend_on_its_batch(ready, photos):
    views = [photos[0][y : y + 90, x : x + 70 + y] for y in range(0, 300, 60) for x in range(0, 400, 80)]
    one_by_one = probabilities(ready(batch_size=1).classify(views))
    for batch_size in (2, 7, 64):
        assert np.abs(probabilities(ready(batch_size=batch_size).classify(views)) - one_by_one).max() < 1e-5
    shuffled = probabilities(ready(batch_size=4).classify(views[::-1]))
    assert np.abs(shuffled[::-1] - one_by_one).max() < 1e-5
    assert one_by_one.std(axis=0).max() > 0.01


def test_nothing_to_classify_gives_nothing(ready):
    assert ready().classify([]) == []


def test_only_what_a_change_invalidates_is_reloaded(ready, tiny_folder, tiny_state, photos):
    classifier = ready()
    classifier.classify(photos)
    assert classifier.timings_ms["load"] > 0
    runtime = classifier._runtime
    for change in (
        {"top_k": 1},
        {"confidence_threshold": 0.9},
        {"batch_size": 1},
        {"input_size": 64},
        {"region": "image"},
    ):
        ready(classifier, **change)
        assert classifier._runtime is runtime
        classifier.classify(photos)
        assert classifier.timings_ms["load"] == 0
    ready(classifier, precision="bf16")
    assert classifier._runtime is not runtime
    assert classifier.describe()["runtime"]["precision"] == "bf16"


def test_every_parameter_takes_effect_in_the_next_call(ready, photos):
    classifier = ready()
    (first, _) = classifier.classify(photos)
    assert len(first.labels) == 3
    ready(classifier, top_k=1)
    assert len(classifier.classify(photos)[0].labels) == 1
    ready(classifier, confidence_threshold=1)
    assert classifier.classify(photos)[0].answer == "unknown"
    ready(classifier, input_size=64)
    assert classifier.describe()["model"]["crop_size"] == 64
    assert classifier.describe()["model"]["resize_size"] == 72
    other_size = classifier.classify(photos)[0].probabilities
    assert other_size != first.probabilities
    ready(classifier)
    assert classifier.classify(photos)[0] == first


def test_a_model_trained_anew_in_the_same_folder_is_seen(tmp_path, tiny_state, photos):
    architecture = Architecture((1, 1), 4, 4)
    parameters = Parameters(weights=str(tmp_path / "m"), device="cpu")
    write_model_folder(tmp_path / "m", ModelConfig.of(architecture, ("a", "b", "c"), Preprocessing(36, 32)), tiny_state)
    classifier = Classifier()
    classifier.prepare(parameters)
    assert set(classifier.classify(photos)[0].labels) == {"a", "b", "c"}
    write_model_folder(tmp_path / "m", ModelConfig.of(architecture, ("x", "y", "z"), Preprocessing(36, 32)), tiny_state)
    classifier.prepare(parameters)
    assert set(classifier.classify(photos)[0].labels) == {"x", "y", "z"}


def test_after_a_failure_the_old_model_does_not_answer_for_the_new(ready, photos):
    classifier = ready()
    with pytest.raises(ValueError, match="no such file or folder"):
        classifier.prepare(Parameters(weights="gone.pth"))
    with pytest.raises(RuntimeError, match="prepare the classifier"):
        classifier.classify(photos)
    assert len(ready(classifier).classify(photos)) == 2


def test_broken_weights_are_an_error_not_an_answer(tmp_path, tiny_state, photos):
    broken = dict(tiny_state) | {"fc.bias": torch.full((3,), torch.nan)}
    config = ModelConfig.of(Architecture((1, 1), 4, 4), ("a", "b", "c"), Preprocessing(36, 32))
    write_model_folder(tmp_path / "m", config, broken)
    classifier = Classifier()
    with pytest.raises(ValueError, match="output is not finite"):
        classifier.prepare(Parameters(weights=str(tmp_path / "m"), device="cpu"))
    classifier.prepare(Parameters(weights=str(tmp_path / "m"), device="cpu", runtime="torch"))
    with pytest.raises(ValueError, match="output is not finite"):
        classifier.classify(photos)


def test_bf16_on_the_cpu_is_near_fp32(ready, photos):
    exact = probabilities(ready(precision="fp32").classify(photos))
    near = probabilities(ready(precision="bf16").classify(photos))
    assert 0 < np.abs(near - exact).max() < 0.1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"device": "cuda:97"}, r"device = 'cuda:97': not on this machine"),
        ({"device": "cpu", "precision": "fp16"}, "precision = 'fp16': needs a GPU, but the device is the CPU"),
    ],
)
def test_devices_that_are_not_there_are_refused(ready, parameters, message):
    with pytest.raises(DeviceError, match=message):
        ready(**parameters)


class SmallMemory(TorchRuntime):
    """The real runtime on a device with room for few images."""

    room = 3

    def run(self, crops):
        if len(crops) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().run(crops)


@pytest.fixture
def small_memory(ready, monkeypatch):
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.torch_runtime.TorchRuntime", SmallMemory)
    return functools.partial(ready, runtime="torch")


def test_out_of_memory_halves_the_batch_and_says_so(small_memory, ready, photos):
    views = [photos[0][y : y + 90] for y in range(0, 300, 30)]
    classifier = small_memory(batch_size=10)
    halved = probabilities(classifier.classify(views))
    assert classifier.notes == [
        "out of memory with 10 images at once: went on with 5; set batch_size to 5",
        "out of memory with 5 images at once: went on with 3; set batch_size to 3",
    ]
    classifier = small_memory(batch_size=2)
    assert np.abs(probabilities(classifier.classify(views)) - halved).max() < 1e-5
    assert classifier.notes == []


def test_memory_that_does_not_hold_one_image_is_an_error(small_memory, monkeypatch, photos):
    monkeypatch.setattr(SmallMemory, "room", 0)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        small_memory().classify(photos)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_gpu_gives_the_cpus_answers(ready, photos):
    exact = probabilities(ready(precision="fp32").classify(photos))
    assert np.abs(probabilities(ready(device="cuda", precision="fp32").classify(photos)) - exact).max() < 1e-3
    half = ready(device="auto")
    assert np.abs(probabilities(half.classify(photos)) - exact).max() < 0.02
    assert half.describe()["runtime"]["precision"] == "fp16"
