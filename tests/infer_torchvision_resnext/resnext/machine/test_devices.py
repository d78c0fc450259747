import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infer_torchvision_resnext.resnext.machine import devices
from infer_torchvision_resnext.resnext.machine.devices import (
    DeviceError,
    OutOfMemoryError,
    cpu_computes_bf16,
    full_fp32,
    gpu_identity,
    gpu_index,
    gpu_is_there,
    memory_watched,
    quick_formats,
    resolve_device,
    resolve_precision,
    unused_accelerators,
    why_no_gpu,
)
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime
from tests.runtime_inputs import crops, model_of

CPU = torch.device("cpu")


def test_auto_is_a_device_that_exists():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == CPU
    assert [gpu_index(device) for device in ("cuda", "cuda:0", "cuda:13")] == [0, 0, 13]


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match=r"device = 'cuda:97': not on this machine, .*; set device to auto or cpu"):
        resolve_device("cuda:97")


@pytest.mark.processor
def test_auto_takes_the_first_format_that_the_device_computes_in():
    assert quick_formats(CPU) == (("bf16",) if cpu_computes_bf16() else ())
    assert resolve_precision("auto", CPU, ("fp16",)) == "fp32"
    assert resolve_precision("auto", CPU, ("bf16", "fp16")) == ("bf16" if cpu_computes_bf16() else "fp32")
    assert resolve_precision("bf16", CPU, ()) == "bf16"
    with pytest.raises(DeviceError, match="precision = 'fp16': needs a GPU, but the device is the CPU"):
        resolve_precision("fp16", CPU, ("fp16",))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_tensor_cores_decide_on_a_gpu():
    gpu = torch.device("cuda", 0)
    formats = quick_formats(gpu)
    assert ("fp16" in formats) == (torch.cuda.get_device_capability(gpu) >= (7, 0))
    assert resolve_precision("auto", gpu, ("fp16",)) == ("fp16" if formats else "fp32")


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "ONNX Runtime: Failed to allocate memory for requested buffer of size 4",
        "ONNX Runtime: Available memory of 1 is smaller than requested bytes of 2",
        "std::bad_alloc",
    ],
)
def test_running_out_of_memory_is_known_by_its_words(words):
    with pytest.raises(OutOfMemoryError) as caught, memory_watched():
        raise RuntimeError(words)
    assert str(caught.value) == words.partition("\n")[0]


@pytest.mark.parametrize("allocate", [lambda: torch.empty(2**50), lambda: np.empty(2**50)], ids=["torch", "numpy"])
def test_running_out_of_memory_on_the_cpu_is_known(allocate):
    with pytest.raises(OutOfMemoryError), memory_watched():
        allocate()


@pytest.mark.parametrize("words", ["shapes do not match", "CUDA error: an illegal memory access was encountered"])
def test_other_errors_stay_what_they_are(words):
    with pytest.raises(RuntimeError, match=words) as caught, memory_watched():
        raise RuntimeError(words)
    assert not isinstance(caught.value, OutOfMemoryError)


def switches():
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    kinds = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul, mkldnn.conv, mkldnn.matmul)
    return [kind.fp32_precision for kind in kinds]


@pytest.mark.processor
@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch has one switch before 2.9")
@pytest.mark.parametrize("precision", ["none", "ieee", "tf32", "bf16"])
def test_fp32_is_fp32_whatever_another_plugin_has_set_and_stays_as_it_was(precision):
    common = torch.backends.fp32_precision
    torch.backends.fp32_precision = precision
    try:
        before = switches()
        with full_fp32():
            assert switches() == ["ieee"] * 5
            assert torch.backends.cudnn.allow_tf32 is False
        assert switches() == before
        # What followed the common switch still does.
        torch.backends.fp32_precision = "tf32"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.fp32_precision = common


@pytest.mark.processor
@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch has one switch before 2.9")
def test_a_network_runs_on_a_cpu_after_another_plugin_has_set_the_precision(tiny_folder, cache):
    images = crops(2)
    runtime = TorchRuntime.load(model_of(tiny_folder, cache), "cpu", "fp32", 0)
    expected = runtime.run(images)
    common = torch.backends.fp32_precision
    torch.backends.fp32_precision = "ieee"
    try:
        assert np.array_equal(runtime.run(images), expected)
    finally:
        torch.backends.fp32_precision = common


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_fp32_is_not_tf32():
    torch.manual_seed(0)
    left, right = torch.randn(512, 512), torch.randn(512, 512)
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with full_fp32():
            found = left.cuda() @ right.cuda()
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"
    assert (found.cpu() - left @ right).abs().max() < 1e-3


DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "NVIDIA Stand-in", length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 6; return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """The library of a driver that shows one GPU."""
    compiler = shutil.which("gcc")
    if not compiler or sys.platform != "linux":
        pytest.skip("needs a C compiler")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "driver.c").write_text(DRIVER)
    library = tmp_path / "libstandin.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    return str(library)


def test_what_a_gpu_is_comes_from_its_driver(driver, tmp_path):
    assert gpu_is_there(amd=tmp_path / "none", nvidia=("libnone.so.1", driver))
    assert gpu_identity(0, nvidia=("libnone.so.1", driver)) == ("NVIDIA Stand-in", "8", "6", "13000")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_nothing():
    assert gpu_identity(0, nvidia=()) == ()


def test_accelerators_that_are_not_used_are_named(monkeypatch):
    monkeypatch.setattr(devices, "version", lambda package: "2.14.1+cu130")
    monkeypatch.setattr(devices.sys, "platform", "linux")
    assert unused_accelerators() == []
    monkeypatch.setattr(devices, "version", lambda package: "2.14.1+xpu")
    assert unused_accelerators() == [
        "Intel's GPU is not used: the plugin computes on NVIDIA's and AMD's, and on the CPU"
    ]
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert [each.split()[0] for each in unused_accelerators()] == ["Apple's", "Intel's"]


def test_why_there_is_no_gpu_is_said(tmp_path, monkeypatch):
    def too_old():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update")

    monkeypatch.setattr(torch.cuda, "init", too_old)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert why_no_gpu(tmp_path / "none") == "The NVIDIA driver on your system is too old (found version 11040)."
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built without CUDA; install the build that pytorch.org names" in why_no_gpu(tmp_path / "none")
    monkeypatch.setattr(devices, "NVIDIA", ())
    assert why_no_gpu(tmp_path) == "AMD's GPUs need PyTorch's build for ROCm; see pytorch.org"


def test_importing_it_imports_no_torch():
    code = "import sys; import infer_torchvision_resnext.resnext.machine.devices; print('torch' in sys.modules)"
    repository = Path(__file__).parents[4]
    finished = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
