import subprocess
import sys
from pathlib import Path

import pytest
import torch

from infer_torchvision_resnext.resnext.machine.devices import (
    DeviceError,
    cpu_computes_bf16,
    gpu_index,
    is_out_of_memory,
    quick_formats,
    resolve_device,
    resolve_precision,
)

CPU = torch.device("cpu")


def test_auto_is_a_device_that_exists():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == CPU
    assert [gpu_index(device) for device in ("cuda", "cuda:0", "cuda:13")] == [0, 0, 13]


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match=r"device = 'cuda:97': not on this machine, .*; set device to auto or cpu"):
        resolve_device("cuda:97")


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


def test_running_out_of_memory_is_known_from_other_errors():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_importing_it_imports_no_torch():
    code = "import sys; import infer_torchvision_resnext.resnext.machine.devices; print('torch' in sys.modules)"
    repository = Path(__file__).parents[4]
    finished = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
