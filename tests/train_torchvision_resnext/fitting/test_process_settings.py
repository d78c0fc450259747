"""What training sets for the whole process is as it was when training is over, however it ends."""

import os

import pytest
import torch

from train_torchvision_resnext.fitting.process_settings import CUBLAS, process_settings

CPU = torch.device("cpu")


def settings():
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32,
        "workspace": os.environ.get(CUBLAS),
    }


@pytest.fixture(params=["as torch has them", "as another task set them"])
def before(request):
    """Settings that another task of the workflow may have left."""
    own = settings()
    if request.param == "as another task set them":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = True
        os.environ[CUBLAS] = ":16:8"
    yield settings()
    torch.use_deterministic_algorithms(own["deterministic"], warn_only=own["warn_only"])
    torch.backends.cudnn.benchmark = own["benchmark"]
    os.environ.pop(CUBLAS, None)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_of_it_is_put_back(precision, deterministic, before):
    with pytest.raises(ZeroDivisionError), process_settings(CPU, precision, deterministic):
        raise ZeroDivisionError
    assert settings() == before


def test_a_deterministic_training_has_what_it_needs(before):
    with process_settings(CPU, "bf16", deterministic=True):
        assert settings() == {
            **before,
            "deterministic": True,
            "warn_only": False,
            "benchmark": False,
            "workspace": ":4096:8",
        }


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", True), ("fp16", True)])
def test_fp32_is_not_tf32(precision, tf32):
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with process_settings(CPU, precision, deterministic=False):
            assert torch.backends.cudnn.allow_tf32 == tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_the_current_gpu_is_put_back():
    with process_settings(torch.device("cuda", 1), "fp32", deterministic=False):
        assert torch.cuda.current_device() == 1
    assert torch.cuda.current_device() == 0
