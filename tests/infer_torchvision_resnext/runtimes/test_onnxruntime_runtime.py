import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.devices import DeviceError, OutOfMemoryError
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import crops, model_of, random_model

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import onnx
import onnxruntime

from infer_torchvision_resnext.runtimes import onnxruntime_runtime
from infer_torchvision_resnext.runtimes.onnxruntime_runtime import CUDA, TENSORRT, OnnxRuntime, converted

REPOSITORY = Path(__file__).parents[3]
has_cuda_provider = CUDA in onnxruntime.get_available_providers()


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture((1,), 1, 64),
        Architecture((1, 2), 4, 4),
        Architecture((1, 1), 4, 4, "cifar"),
        Architecture((1, 1, 2, 1), 2, 8),
    ],
    ids=str,
)
def test_any_architecture_gives_torchs_logits(architecture, tmp_path, cache):
    model = random_model(architecture, tmp_path / "m", cache)
    expected = TorchRuntime.load(model, "cpu", "fp32", 0)
    found = OnnxRuntime.load(model, "cpu", "fp32", 1, cache)
    for count, side in ((1, 36), (2, 36), (5, 65), (21, 36)):
        logits = expected.run(crops(count, side))
        assert np.ptp(logits) > 0.5
        assert np.abs(found.run(crops(count, side)) - logits).max() < 3e-6 * np.abs(logits).max()
    images = crops(6, 36)
    assert np.abs(found.run(images[::-2]) - expected.run(images)[::-2]).max() < 1e-4


def test_the_graph_for_gpus_is_in_half_precision_and_near(tiny_state, tmp_path, cache):
    # A variance beyond what fp16 can hold, and a scale that makes up for it.
    state = dict(tiny_state) | {
        "bn1.running_var": tiny_state["bn1.running_var"] * 1e6,
        "bn1.weight": tiny_state["bn1.weight"] * 1e3,
    }
    config = ModelConfig.of(Architecture((1, 1), 4, 4), ("ant", "bee", "cat"), Preprocessing(36, 32))
    write_model_folder(tmp_path / "m", config, state)
    model = model_of(tmp_path / "m", cache)
    content = converted(model, "fp16")
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph, full_check=True)
    weights = [each for each in graph.graph.initializer if np.prod(each.dims) > 3]
    assert {each.data_type for each in weights} == {onnx.TensorProto.FLOAT16}
    # Nine convolutions and the classifier, with a bias each.
    assert len(weights) >= 10
    # The processor computes in fp32 what it is given in fp16.
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    logits, features = session.run(["logits", "features"], {"crops": crops(5, 32)})
    assert logits.dtype == features.dtype == np.float32
    difference = np.abs(logits - TorchRuntime.load(model, "cpu", "fp32", 0).run(crops(5, 32))[:, :3]).max()
    assert 0 < difference < 0.05


def test_batch_normalization_is_folded_into_the_convolutions(tiny_folder, tmp_path, cache):
    content = converted(model_of(tiny_folder, cache), "fp32")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    found = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert (found.count("Conv"), found.count("BatchNormalization")) == (9, 0)


@pytest.mark.processor
def test_through_the_classifier(tiny_folder, photos):
    views = [photos[0][y : y + 90] for y in range(0, 300, 30)]
    answers = []
    for runtime in ("torch", "onnxruntime"):
        classifier = Classifier()
        wanted = {"device": "cpu", "precision": "fp32", "top_k": 0, "batch_size": 7, "threads": 1}
        classifier.prepare(Parameters(weights=str(tiny_folder), runtime=runtime, **wanted))
        classifier.warm_up()
        answers.append(classifier.classify(views))
    described = classifier.describe()["runtime"]
    agreement = described.pop("agreement")
    assert described == {"name": "onnxruntime", "device": "cpu", "device_name": "CPU", "precision": "fp32"}
    assert agreement["top1"] == 1
    assert agreement["largest_change"] < 1e-4
    for expected, found in zip(*answers, strict=True):
        assert found.labels == expected.labels
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)


def test_the_graph_is_built_once_and_a_damaged_one_anew(tiny_folder, tmp_path, cache, caplog):
    model = model_of(tiny_folder, cache)
    expected = OnnxRuntime.load(model, "cpu", "fp32", 1, cache).run(crops(2, 32))
    (file,) = (tmp_path / "cache" / "onnx").rglob("*.onnx")
    written = file.stat().st_mtime_ns
    OnnxRuntime.load(model, "cpu", "fp32", 1, cache)
    assert file.stat().st_mtime_ns == written
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"no graph"):
        file.write_bytes(damaged)
        caplog.clear()
        assert np.array_equal(OnnxRuntime.load(model, "cpu", "fp32", 1, cache).run(crops(2, 32)), expected)
        assert "onnx in the cache is not what was written there" in caplog.text
        assert file.read_bytes() == content


def test_what_it_does_not_run_is_refused_with_the_remedy(tiny_folder, cache):
    model = model_of(tiny_folder, cache)
    for precision in ("bf16", "fp16", "int8"):
        with pytest.raises(DeviceError, match=rf"precision = '{precision}': ONNX Runtime runs fp32 on cpu; set one of"):
            OnnxRuntime.load(model, "cpu", precision, 0, cache)


@pytest.mark.skipif(has_cuda_provider, reason="ONNX Runtime is installed with its CUDA provider")
def test_without_its_cuda_provider_a_gpu_is_refused(tiny_folder, cache):
    with pytest.raises(DeviceError, match=r"device = 'cuda:1': .* without its CUDA provider; .*onnxruntime-gpu"):
        OnnxRuntime.load(model_of(tiny_folder, cache), "cuda:1", "fp32", 0, cache)


def test_a_network_that_cannot_run_is_a_runtime_error(tiny_folder, cache):
    runtime = OnnxRuntime.load(model_of(tiny_folder, cache), "cpu", "fp32", 1, cache)
    with pytest.raises(RuntimeError, match=r"ONNX Runtime: .*Unexpected input data type") as caught:
        runtime.run(crops(1, 32).astype(np.float32))
    assert not isinstance(caught.value, OutOfMemoryError)


MISSING = {
    "onnxruntime": "the package onnxruntime is not installed; run pip install onnxruntime (for a GPU, onnxruntime",
    "onnxscript": "the package onnxscript is not installed; run pip install onnxscript, or set runtime to auto",
    "onnxruntime,onnx": "the packages onnxruntime and onnx are not installed; run pip install onnxruntime onnx (for a "
    "GPU, onnxruntime-gpu onnx), or set runtime to auto",
}


@pytest.fixture(scope="module")
def said_without(tiny_folder, tmp_path_factory):
    """Packages that are not there → the refusal of ONNX Runtime, and what answers under `auto`; all in one process."""
    code = """
import sys
from importlib.machinery import PathFinder

hidden = []
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in hidden else find(name, *rest)

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters

weights, *cases = sys.argv[1:]
for missing in cases:
    hidden[:] = ["openvino", *missing.split(",")]
    try:
        Classifier().prepare(Parameters(weights=weights, device="cpu", runtime="onnxruntime"))
    except ValueError as error:
        print(error)
    automatic = Classifier()
    automatic.prepare(Parameters(weights=weights, device="cpu"))
    print(automatic.describe()["runtime"]["name"])
"""
    home = tmp_path_factory.mktemp("without")
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tiny_folder), *MISSING],
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(REPOSITORY)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = finished.stdout.strip().splitlines()
    assert len(lines) == 2 * len(MISSING), finished.stderr
    return dict(zip(MISSING, zip(lines[::2], lines[1::2], strict=True), strict=True))


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_not_installed_is_named(missing, said_without):
    refusal, name = said_without[missing]
    assert MISSING[missing] in refusal
    assert name == "torch"


class Emulated:
    """ONNX Runtime as it is on a machine with a GPU: what each session is made with, and how TensorRT fails there."""

    def __init__(self, failure=None):
        self.failure = failure
        self.asked = []

    def preload_dlls(self):
        self.asked.append("preload_dlls")

    def create(self, session, providers, provider_options, disabled_optimizers=None):
        """In the place of the native half of `InferenceSession`, whose own fallback is tried as it is."""
        session._fallback_providers = [CUDA, "CPUExecutionProvider"]
        names = [each if isinstance(each, str) else each[0] for each in providers]
        self.asked.append(dict(each if isinstance(each, tuple) else (each, {}) for each in providers))
        if self.failure and TENSORRT in names:
            raise RuntimeError(self.failure)
        session._providers = names


@pytest.fixture
def emulated(monkeypatch):
    machine = Emulated()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", machine.preload_dlls, raising=False)

    def create(session, *arguments):
        machine.create(session, *arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", create)
    monkeypatch.setattr(onnxruntime_runtime, "tensorrt_is_there", lambda: True, raising=False)
    # The graph plays no part in it, and its conversion takes seconds.
    monkeypatch.setattr(Cache, "opened", lambda self, kind, key, fill, open_entry, derived: open_entry(self.folder))
    return machine


@pytest.mark.parametrize("failure", ["Please install TensorRT libraries", "CUDA error: out of memory"])
def test_where_tensorrt_fails_cuda_keeps_its_options(failure, emulated, tiny_folder, cache, caplog):
    emulated.failure = failure
    runtime = OnnxRuntime.load(model_of(tiny_folder, cache), "cuda:1", "fp16", 0, cache)
    assert runtime.provider == CUDA
    loaded, first, second = emulated.asked
    # A start from the cache does not import torch, which would have loaded CUDA's libraries.
    assert loaded == "preload_dlls"
    assert list(first) == [TENSORRT, CUDA]
    assert first[TENSORRT]["device_id"] == first[CUDA]["device_id"] == "1"
    assert second == {CUDA: first[CUDA]}
    assert second[CUDA]["use_tf32"] == "0"
    assert second[CUDA]["cudnn_conv_algo_search"] == "HEURISTIC"
    assert f"TensorRT does not start, CUDA takes its place: {cache.folder}" in caplog.text
    # What took minutes is not thrown away because memory was short once.
    assert len(list((cache.folder / "tensorrt").iterdir())) == ("memory" in failure)


def test_tensorrt_is_for_fp16_only(emulated, tiny_folder, cache):
    OnnxRuntime.load(model_of(tiny_folder, cache), "cuda", "fp16", 0, cache)
    OnnxRuntime.load(model_of(tiny_folder, cache), "cuda", "fp32", 0, cache)
    sessions = [asked for asked in emulated.asked if isinstance(asked, dict)]
    assert [list(session) for session in sessions] == [[TENSORRT, CUDA], [CUDA]]


def test_a_gpu_gets_batches_of_few_sizes(emulated, tiny_folder, cache, monkeypatch):
    sizes = []

    def run(session, names, inputs):
        sizes.append(len(inputs["crops"]))
        return [np.zeros((sizes[-1], width), np.float32) for width in (3, 512)]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    runtime = OnnxRuntime.load(model_of(tiny_folder, cache), "cuda", "fp16", 0, cache)
    assert runtime.run(crops(71, 32)).shape == (71, 3 + 512)
    assert sizes == [32, 32, 4, 2, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are found by LD_LIBRARY_PATH on Linux only")
@pytest.mark.parametrize("there", [True, False])
def test_tensorrt_is_there_if_its_libraries_load(there, tmp_path):
    package = tmp_path / "onnxruntime"
    (package / "capi").mkdir(parents=True)
    linked = b"\x7fELF\0libcudart.so.13\0libnvinfer.so.10\0libnvonnxparser.so.10\0"
    (package / "capi" / "libonnxruntime_providers_tensorrt.so").write_bytes(linked)
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    maps = Path("/proc/self/maps").read_text().splitlines()
    some = next(line.split()[-1] for line in maps if "/libm.so" in line)
    for name in ("libnvinfer.so.10", "libnvonnxparser.so.10")[: 2 if there else 1]:
        shutil.copy(some, libraries / name)
    code = f"""
import onnxruntime
onnxruntime.__file__ = {str(package / "__init__.py")!r}
onnxruntime.get_available_providers = lambda: ["TensorrtExecutionProvider"]
from infer_torchvision_resnext.runtimes.onnxruntime_runtime import tensorrt_is_there
print(tensorrt_is_there())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(there)


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda_provider, reason="ONNX Runtime has no CUDA provider on this machine")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("fp16", 0.1)])
def test_the_gpu_gives_the_cpus_logits(precision, tolerance, tiny_folder, cache):
    model = model_of(tiny_folder, cache)
    expected = OnnxRuntime.load(model, "cpu", "fp32", 0, cache).run(crops(5, 32))
    runtime = OnnxRuntime.load(model, "cuda", precision, 0, cache)
    assert runtime.provider != "CPUExecutionProvider"
    for count in (1, 5):
        assert np.abs(runtime.run(crops(5, 32)[:count]) - expected[:count]).max() < tolerance


def test_a_warm_start_imports_neither_torch_nor_onnx(tiny_folder, tmp_path):
    code = """
import sys
from pathlib import Path

import numpy as np

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters

classifier = Classifier(Path("cache"))
classifier.prepare(Parameters(weights=sys.argv[1], device="cpu", runtime="onnxruntime"))
print(len(classifier.classify([np.zeros((40, 50, 3), np.uint8)])), sorted({"torch", "onnx"} & set(sys.modules)))
"""
    classifier = Classifier(tmp_path / "cache")
    classifier.prepare(Parameters(weights=str(tiny_folder), device="cpu", runtime="onnxruntime"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_folder)],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1 []"
