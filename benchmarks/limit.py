"""The machine's own limit: its best matrix products, and the time below which no forward pass can be.

Run alone with `python -m benchmarks limit`.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from infer_torchvision_resnext.resnext.architecture import Architecture

SIDES = (1024, 1536, 2048)
ROUNDS = 12
MODELS = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")


@cache
def best_gflops() -> dict[str, float]:
    """The best of square matrix products of several sizes, in GFLOP/s, two to a multiply-add."""
    best = dict.fromkeys(("fp32", "bf16", "int8"), 0.0)
    for side in SIDES:
        ways: dict[str, Callable[[], object]] = {}
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("int8", torch.int8)):
            left = torch.randint(-8, 8, (side, side)).to(dtype)
            right = torch.randint(-8, 8, (side, side)).to(dtype)
            multiply = torch._int_mm if precision == "int8" else torch.mm
            ways[precision] = lambda multiply=multiply, left=left, right=right: multiply(left, right)
        for _ in range(ROUNDS):
            for precision, way in ways.items():
                start = time.perf_counter()
                way()
                best[precision] = max(best[precision], 2e-9 * side**3 / (time.perf_counter() - start))
    return best


@cache
def gflop(name: str) -> float:
    """Multiply-adds of one 224 x 224 image, times two, counted in the real network."""
    network = Architecture.from_name(name).build(1000).eval()
    total = 0

    def count(layer: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.weight
        total += 2 * output.numel() * weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    return total / 1e9


def floor_ms(name: str, precision: str) -> float:
    """What one image takes at the machine's best matrix product."""
    return 1000 * gflop(name) / best_gflops()[precision]


def main() -> list[dict[str, Any]]:
    rows = [{"what": "best matrix product, GFLOP/s", **{key: f"{value:.0f}" for key, value in best_gflops().items()}}]
    for name in MODELS:
        floors = {precision: f"{floor_ms(name, precision):.1f}" for precision in best_gflops()}
        rows.append({"what": f"floor of {name}, {gflop(name):.1f} GFLOP, ms", **floors})
    return rows
