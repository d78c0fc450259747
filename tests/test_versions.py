"""Which versions of other packages the plugins live with: those that plugins of the HUB require."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

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
    own = [
        f"-r {REPOSITORY / plugin / 'requirements.txt'}"
        for plugin in ("infer_torchvision_resnext", "train_torchvision_resnext")
    ]
    lines = ["ikomia>=0.16.1", *own, *(each for required in HUB.values() for each in required)]
    wanted.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", "3.11", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(words in done.stderr for words in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    resolved = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line and not line.startswith(" "))
    assert resolved["torch"].startswith("2.7.")
