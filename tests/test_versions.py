"""Which versions of other packages the plugins live with: the HUB's, and the legs of the matrix."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.version_matrix import LEGS, Leg, Result, find_interpreter, page, run_leg

REPOSITORY = Path(__file__).parents[1]
TORCH = ("torch>=2.6,<2.8",)
BOTH = (*TORCH, "torchvision>=0.21,<0.23")

HUB = {
    "infer_boxmot_tracking": (*BOTH, "boxmot>=21.0,<21.1"),
    "infer_grounding_dino": (*TORCH, "transformers"),
    "infer_rf_detr": (*BOTH, "rfdetr==1.8.3"),
    "infer_segment_anything_3": (*BOTH, "transformers"),
    "infer_timm_image_classification": (*TORCH, "timm==1.0.16"),
    "infer_torchvision_mask_rcnn": BOTH,
    "infer_yolo_v11": (*BOTH, "ultralytics>=8.3,<9"),
    "train_rf_detr": (*TORCH, "rfdetr>=1.3,<2"),
    "train_timm_image_classification": (*BOTH, "timm==1.0.16"),
    "train_yolo_v8": (*TORCH, "ultralytics>=8.0.190,<9"),
}
"""Plugins of the HUB → what they require, by package name."""

UNREACHABLE = ("Could not connect", "dns error", "error sending request", "Failed to fetch", "timed out")


def test_both_plugins_resolve_together_with_ten_plugins_of_the_hub(tmp_path):
    """All of a user's plugins share one environment: one resolution for all of them."""
    if find_spec("uv") is None:
        pytest.skip("uv is not installed")
    wanted = tmp_path / "wanted.in"
    own = [f"-r {REPOSITORY / plugin / 'requirements.txt'}" for plugin in sorted({*map(str, plugins())})]
    lines = ["ikomia>=0.16.1", *own, *(each for required in HUB.values() for each in required)]
    wanted.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", "3.11", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(words in done.stderr for words in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    resolved = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line and not line.startswith(" "))
    hub = next(leg for leg in LEGS if leg.name == "hub")
    assert [f"{name}=={resolved[name]}" for name in ("torch", "torchvision")] == [*hub.pins]


def plugins():
    return [folder.name for folder in REPOSITORY.glob("*_torchvision_resnext") if folder.is_dir()]


def test_the_oldest_leg_tests_the_bounds_that_the_plugins_declare():
    oldest = next(leg for leg in LEGS if leg.resolution == "lowest-direct")
    for plugin in plugins():
        stated = (REPOSITORY / plugin / "requirements.txt").read_text(encoding="utf-8")
        for pin in oldest.pins:
            assert pin.replace("==", ">=").removesuffix(".0") in stated.splitlines()


def test_a_leg_without_its_interpreter_is_skipped_and_the_table_says_so(tmp_path):
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = find_interpreter(running)
    assert found is None or Path(found).exists()
    result = run_leg(Leg("future", "9.9"), tmp_path, quick=True)
    assert (result.failed, result.skipped) == (False, "not run: there is no Python 9.9 on this machine")
    assert not [*tmp_path.iterdir()]
    written = page([result, Result(LEGS[0], "torch 2.7.1", "9 passed", "torch → torch")])
    assert "| future | 9.9 |  | not run: there is no Python 9.9 on this machine |  |" in written
    assert "| hub | 3.11 | torch 2.7.1 | 9 passed | torch → torch |" in written
