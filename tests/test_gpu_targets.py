"""`make test-gpu` and `make bench-gpu` where there is no GPU."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tools import need_gpu

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("target", ["test-gpu", "bench-gpu"])
def test_without_a_gpu_a_sentence_says_so_and_nothing_is_installed(target, tmp_path):
    command = ["make", target, f"GPU={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "This needs a GPU that PyTorch can use, and there is none here: no driver shows one.\n" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_torch_does_not_see_is_none(monkeypatch, capsys):
    monkeypatch.setattr(need_gpu, "gpu_is_there", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert need_gpu.main() == 1
    assert "there is none here: PyTorch" in capsys.readouterr().err
