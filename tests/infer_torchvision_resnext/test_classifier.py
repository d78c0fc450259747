import functools
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights

from infer_torchvision_resnext.answers.predictions import by_class
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.devices import X86, DeviceError, OutOfMemoryError, cpu_computes_bf16
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.runtimes.runtime import Configuration
from infer_torchvision_resnext.runtimes.selection import load
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def ready(tiny_folder):
    """Make a classifier ready with the tiny model folder and further parameters."""

    def prepare(classifier=None, **parameters):
        classifier = classifier or Classifier()
        classifier.prepare(Parameters(**{"weights": str(tiny_folder), "device": "cpu", "top_k": 0, **parameters}))
        return classifier

    return prepare


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize(
    ("name", "runtime"),
    # The graph of both is the same but for its weights, and takes long to convert.
    [("IMAGENET1K_V1", "torch"), pytest.param("IMAGENET1K_V2", "auto", marks=pytest.mark.processor)],
)
def test_the_same_weights_and_photo_give_torchvisions_probabilities(imagenet_cache, photos, name, runtime):
    classifier = Classifier()
    classifier.prepare(Parameters(weights=name, top_k=0, device="cpu", precision="fp32", runtime=runtime))
    found = by_class(classifier.classify(photos))
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


@pytest.mark.processor
def test_an_answer_does_not_depend_on_its_batch(ready, photos):
    views = [photos[0][y : y + 90, x : x + 70 + y] for y in range(0, 300, 60) for x in range(0, 400, 80)]
    one_by_one = by_class(ready(batch_size=1).classify(views))
    for batch_size in (2, 7, 64):
        assert np.abs(by_class(ready(batch_size=batch_size).classify(views)) - one_by_one).max() < 1e-5
    shuffled = by_class(ready(batch_size=4).classify(views[::-1]))
    assert np.abs(shuffled[::-1] - one_by_one).max() < 1e-5
    assert one_by_one.std(axis=0).max() > 0.01


def test_nothing_to_classify_gives_nothing(ready):
    assert ready().classify([]) == []


@pytest.mark.processor
def test_only_what_a_change_invalidates_is_reloaded(ready, tiny_folder, tiny_state, photos):
    classifier = ready()
    classifier.classify(photos)
    assert classifier.timings_ms["load"] > 0
    runtime = classifier._loaded.runtime
    for change in (
        {"top_k": 1},
        {"confidence_threshold": 0.9},
        {"batch_size": 1},
        {"input_size": 64},
        {"region": "image"},
    ):
        ready(classifier, **change)
        assert classifier._loaded.runtime is runtime
        classifier.classify(photos)
        assert classifier.timings_ms["load"] == 0
    ready(classifier, precision="bf16")
    assert classifier._loaded.runtime is not runtime
    assert classifier.describe()["runtime"]["precision"] == ("bf16" if cpu_computes_bf16() else "fp32")


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


@pytest.mark.processor
def test_bf16_on_the_cpu_is_near_fp32(ready, photos):
    exact = by_class(ready(precision="fp32").classify(photos))
    classifier = ready(precision="bf16")
    near = by_class(classifier.classify(photos))
    said = classifier.describe()["runtime"]["precision"]
    if cpu_computes_bf16():
        assert said == "bf16"
        assert classifier.notes == []
        assert 0 < np.abs(near - exact).max() < 0.1
    else:
        assert said == "fp32"
        assert classifier.notes == [NO_BF16]
        assert np.abs(near - exact).max() < 1e-4


NO_BF16 = "precision = 'bf16': this processor does not compute in it; answered in fp32"

OLDER = {"OV_CPU_MAX_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


@pytest.fixture(scope="module")
def of_an_older_processor(tiny_folder, photo_path, tmp_path_factory):
    """Runtime → what it said there, asked for bf16 and then for whatever is fastest; all in one process."""
    if platform.machine().lower() not in X86:
        pytest.skip("the emulated processor is of the x86 family")
    code = f"""
import ikomia, sys
from pathlib import Path
from PIL import Image
import numpy as np
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.machine.devices import cpu_computes_bf16
for runtime in ("auto", "openvino", "torch"):
    classifier = Classifier(Path(sys.argv[1]))
    for precision in ("bf16", "auto"):
        asked = Parameters(weights={str(tiny_folder)!r}, device="cpu", runtime=runtime, precision=precision)
        classifier.prepare(asked)
        classifier.classify([np.asarray(Image.open({photo_path!r}))])
        print(runtime, cpu_computes_bf16(), classifier.describe()["runtime"]["precision"], classifier.notes)
"""
    environment = {**os.environ, **OLDER, "PYTHONPATH": str(REPOSITORY)}
    place = tmp_path_factory.mktemp("older")
    convert(tiny_folder, Cache(place), "openvino")
    command = [sys.executable, "-c", code, str(place)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    said = [line.split(" ", 1) for line in done.stdout.splitlines()]
    return {name: [told for of, told in said if of == name] for name, _ in said}


@pytest.mark.parametrize("runtime", ["auto", "openvino", "torch"])
def test_an_older_processor_answers_in_fp32_and_says_so(runtime, of_an_older_processor):
    assert of_an_older_processor[runtime] == [f"False fp32 [{NO_BF16!r}]", "False fp32 []"]


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

    def _rows(self, crops):
        if len(crops) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super()._rows(crops)


@pytest.fixture
def small_memory(ready, monkeypatch):
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.torch_runtime.TorchRuntime", SmallMemory)
    return functools.partial(ready, runtime="torch")


def test_out_of_memory_halves_the_batch_and_says_so(small_memory, ready, photos):
    views = [photos[0][y : y + 90] for y in range(0, 300, 30)]
    classifier = small_memory(batch_size=10)
    halved = by_class(classifier.classify(views))
    assert classifier.notes == [
        "out of memory with 10 images at once: went on with 5; set batch_size to 5",
        "out of memory with 5 images at once: went on with 3; set batch_size to 3",
    ]
    classifier = small_memory(batch_size=2)
    assert np.abs(by_class(classifier.classify(views)) - halved).max() < 1e-5
    assert classifier.notes == []


def test_memory_that_does_not_hold_one_image_is_an_error(small_memory, monkeypatch, photos):
    monkeypatch.setattr(SmallMemory, "room", 0)
    with pytest.raises(OutOfMemoryError):
        small_memory().classify(photos)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_gpu_gives_the_cpus_answers(ready, photos):
    exact = by_class(ready(precision="fp32").classify(photos))
    assert np.abs(by_class(ready(device="cuda", precision="fp32").classify(photos)) - exact).max() < 1e-3
    half = ready(device="auto")
    assert np.abs(by_class(half.classify(photos)) - exact).max() < 0.02
    assert half.describe()["runtime"]["precision"] == "fp16"


def test_another_tolerance_decides_anew(ready):
    pytest.importorskip("openvino")
    classifier = ready(precision="fp32", guard_tolerance=0.5)
    assert classifier.describe()["runtime"]["name"] == "openvino"
    assert ready(classifier, precision="fp32", guard_tolerance=0).describe()["runtime"]["name"] == "torch"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere files are read whole to tell")
def test_weights_of_the_same_size_and_time_are_loaded_anew(tiny_folder, tiny_state, other_state, photos, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    file = folder / "model.safetensors"
    save_file(tiny_state, file)
    classifier = Classifier(tmp_path / "cache")

    def answer():
        classifier.prepare(Parameters(weights=str(folder), device="cpu", top_k=0))
        return by_class(classifier.classify(photos[:1]))

    first, status = answer(), file.stat()
    save_file(other_state, file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    second = answer()
    assert np.abs(second - first).max() > 1e-3
    assert np.abs(second - probabilities_of(folder, photos[0])).max() < 0.02


def probabilities_of(folder, photo):
    classifier = Classifier()
    classifier.prepare(Parameters(weights=str(folder), device="cpu", runtime="torch", precision="fp32", top_k=0))
    return by_class(classifier.classify([photo]))


def convert(folder, cache, *runtimes):
    """So that another process finds the graphs in its cache; which of them to take, it decides itself."""
    model = load_model(Parameters(weights=str(folder)), cache)
    for runtime in runtimes:
        load(model, Configuration(runtime, "fp32"), 1, cache)


def test_overwriting_weights_in_use_does_not_end_the_process(tiny_folder, tmp_path):
    """What is mapped into memory and then cut short kills whoever looks at it."""
    runtimes = ("torch", "openvino", "onnxruntime")
    for runtime in runtimes:
        pytest.importorskip(runtime)
        shutil.copytree(tiny_folder, tmp_path / runtime)
    convert(tiny_folder, Cache(tmp_path / "cache"), *runtimes[1:])
    code = f"""
import ikomia
import numpy as np
from pathlib import Path
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
for runtime in {runtimes}:
    folder = Path({str(tmp_path)!r}, runtime)
    classifier = Classifier(Path({str(tmp_path)!r}, "cache"))
    classifier.prepare(Parameters(weights=str(folder), device="cpu", runtime=runtime, precision="fp32"))
    Path(folder, "model.safetensors").write_bytes(b"")
    answer = classifier.classify([np.zeros((50, 50, 3), np.uint8)])[0].answer
    print(runtime, answer in ("ant", "bee", "cat"), flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    expected = [f"{runtime} True" for runtime in runtimes]
    assert (done.returncode, done.stdout.splitlines()) == (0, expected), done.stderr


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_full_home_costs_only_time_and_is_said(runtime, ready, small_disk, photos):
    pytest.importorskip(runtime)
    classifier = ready(Classifier(small_disk("16k") / "cache"), runtime=runtime, precision="fp32")
    assert len(classifier.classify(photos)) == 2
    assert classifier.describe()["runtime"]["name"] == runtime
    (note,) = classifier.notes
    assert "has no room (No space left on device): nothing is kept for later; make room there" in note
