"""What a user pastes into an issue."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from infer_torchvision_resnext.__main__ import COMMANDS, main
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.commands import dependencies, doctor
from infer_torchvision_resnext.commands.inventory import inventory, without_home
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.devices import cpu_computes_bf16
from infer_torchvision_resnext.runtimes.torch_runtime import TorchRuntime

REPOSITORY = Path(__file__).parents[3]
OLDER = {"OV_CPU_MAX_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def rows_of(printed):
    """Runtime, device and precision → the rest of the row."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if "| cpu |" in line
    ]
    return {tuple(row[:3]): row[3:] for row in cells}


def test_what_is_there_agrees_and_what_is_not_is_named(capsys):
    pytest.importorskip("openvino")
    assert main(["doctor", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "all agree"
    rows = rows_of(printed)
    quick = "bf16" if cpu_computes_bf16() else "bf16 → fp32"
    for key in [("torch", "cpu", "fp32"), ("openvino", "cpu", "fp32"), ("openvino", "cpu", quick)]:
        assert rows[key][2] == "agrees"
        assert float(rows[key][0]) < 0.02
    assert not [key for key in rows if "fp16" in key or "int8" in key]
    assert str(Path.home()) not in printed


def test_a_runtime_that_answers_otherwise_is_named(capsys, monkeypatch, tiny_folder):
    monkeypatch.setattr(doctor, "PRECISIONS", {"torch": ("fp32",), "openvino": ("fp32", "bf16")})
    run = "infer_torchvision_resnext.runtimes.openvino_runtime.OpenVINORuntime.run"
    monkeypatch.setattr(run, lambda self, crops: np.tile(np.float32([9, 0, 0]), (len(crops), 1)))
    assert main(["doctor", "--weights", str(tiny_folder)]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "not in order: openvino fp32, openvino bf16"
    assert printed.count("openvino: run pip install --upgrade openvino; or set runtime to torch") == 1
    assert rows_of(printed)["openvino", "cpu", "fp32"][2] == "DIFFERS by more than 0.001"


def test_what_is_not_here_is_said_and_is_no_disagreement(capsys, monkeypatch, tiny_folder):
    pytest.importorskip("openvino")
    monkeypatch.setattr(doctor, "PRECISIONS", {"torch": ("fp32",), "openvino": ("int8",)})
    assert main(["doctor", "--weights", str(tiny_folder)]) == 0
    (reason,) = [row[2] for key, row in rows_of(capsys.readouterr().out).items() if "int8" in key]
    assert reason.startswith("not here: precision = 'int8': ")
    assert reason.endswith("holds no calibrated model (openvino/int8.xml of a model folder)")


def test_a_runtime_that_fails_is_named(capsys, monkeypatch, tiny_folder):
    def failed(self, crops):
        raise OSError("libcudart.so.12: cannot open shared object file\nand more")

    monkeypatch.setattr(doctor, "PRECISIONS", {"torch": ("fp32",)})
    monkeypatch.setattr(TorchRuntime, "run", failed)
    assert main(["doctor", "--weights", str(tiny_folder)]) == 1
    (row,) = rows_of(capsys.readouterr().out).values()
    assert row[2] == "FAILS: OSError: libcudart.so.12: cannot open shared object file"


@pytest.mark.skipif(sys.platform != "linux", reason="what it reads of a processor is Linux's")
def test_an_older_processor_is_described_as_it_is():
    code = """
from infer_torchvision_resnext.commands.inventory import inventory
print(*map(": ".join, inventory()), sep="\\n")
"""
    environment = {**os.environ, **OLDER}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "limited by the environment: " + ", ".join(f"{name}={value}" for name, value in OLDER.items()) in done.stdout
    assert "on the CPU uses AVX2, bf16: computes not in it" in done.stdout
    assert "BF16" not in done.stdout


def test_packages_outside_both_plugins_requirements_are_listed_with_the_remedy(capsys, monkeypatch, tmp_path):
    """In folders that lie as the plugins do, with packages that are really installed, or not at all."""
    for plugin, content in {
        "infer": "# why\nnumpy>=1.26,<3\npydantic>=99\n",
        "train": "pydantic>=99\nno-such-package>=2\n",
    }.items():
        (tmp_path / f"{plugin}_torchvision_resnext").mkdir()
        (tmp_path / f"{plugin}_torchvision_resnext" / "requirements.txt").write_text(content, encoding="utf-8")
    monkeypatch.setattr(dependencies, "PLUGINS", tmp_path)
    monkeypatch.setattr(doctor, "PRECISIONS", {"torch": ("fp32",)})
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "not in order: requirements"
    assert "- requirements: not met\n" in printed
    assert (
        f'  - pydantic {version("pydantic")} is installed, >=99 is required: run pip install "pydantic>=99"\n'
        in printed
    )
    assert '  - no-such-package is not installed: run pip install "no-such-package>=2"\n' in printed
    assert printed.count("pydantic>=99") == 1
    assert "numpy" not in printed.partition("requirements: ")[2].partition("| runtime")[0]


def test_a_runtime_that_fails_for_its_version_has_that_version_as_its_remedy():
    (problem,) = dependencies.unmet(["numpy>=99"])
    assert doctor.remedy("torch", ["torch 2.5.0 is installed, >=2.6 is required", problem]).startswith(
        "torch: torch 2.5.0"
    )
    assert [*dependencies.unmet(["no-such-package"], optional=True)] == []


def test_optional_packages_have_the_bounds_that_the_repository_tests():
    stated = dependencies.read_requirements(REPOSITORY / "requirements.txt")
    stated += dependencies.read_requirements(REPOSITORY / "train_torchvision_resnext" / "requirements.txt")
    assert {each for each in dependencies.OPTIONAL if "gpu" not in each} <= {*stated}


def test_the_home_is_not_shown():
    assert without_home(f"{Path.home()}/models and {Path.home()}") == "~/models and ~"
    assert all(str(Path.home()) not in found for _, found in inventory())


def test_the_random_model_tells_its_pictures_apart(tmp_path):
    classifier = Classifier()
    weights = str(doctor.random_model(tmp_path / "model"))
    classifier.prepare(Parameters(weights=weights, device="cpu", runtime="torch", precision="fp32"))
    answers = classifier.classify(list(doctor.generated_images(doctor.PICTURE_SIDE)))
    assert len({each.answer for each in answers}) > 1
    assert 0.2 < np.mean([each.probability for each in answers]) < 0.99
    assert Preprocessing(73, 64).crop_size < doctor.PICTURE_SIDE


def test_commands_are_listed_and_others_refused(capsys):
    assert main([]) == main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(printed.count(f"  {name} ") == 2 for name in COMMANDS)
    assert main(["cure"]) == 2
    assert "usage: python -m infer_torchvision_resnext COMMAND" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_all_agrees(capsys):
    assert main(["doctor"]) == 0, capsys.readouterr().out
