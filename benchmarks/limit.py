"""The machine's own limit: its best matrix products, and how many operations a forward pass takes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from infer_torchvision_resnext.resnext.machine.threads import fixed_threads
from infer_torchvision_resnext.resnext.network.architecture import Architecture

SIDES = (1024, 1536, 2048)
ROUNDS = 12
PRECISIONS = ("fp32", "bf16", "int8")


@dataclass(frozen=True)
class Product:
    """A square matrix product by some library."""

    precision: str
    library: str
    side: int
    multiply: Callable[[], object]

    @property
    def gflop(self) -> float:
        """Operations, two to a multiply-add, in thousands of millions."""
        return 2e-9 * self.side**3


@cache
def best_products() -> dict[str, tuple[Product, float]]:
    """For each precision the fastest matrix product found, and its best rate in GFLOP/s."""
    products, best = list(_products()), dict.fromkeys(PRECISIONS, 0.0)
    fastest: dict[str, tuple[Product, float]] = {}
    for _ in range(ROUNDS):
        for product in products:
            start = time.perf_counter()
            product.multiply()
            rate = product.gflop / (time.perf_counter() - start)
            if rate > best[product.precision]:
                best[product.precision] = rate
                fastest[product.precision] = product, rate
    return fastest


def _products() -> Iterator[Product]:
    """No library is the fastest on every processor."""
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
    for side in SIDES:
        integers = np.random.default_rng(0).integers(-8, 8, (side, side))
        for precision, dtype in dtypes.items():
            yield Product(precision, "torch", side, _in_torch(torch.from_numpy(integers).to(dtype)))
        for precision in ("fp32", "bf16"):
            yield Product(precision, "OpenVINO", side, _in_openvino(integers.astype(np.float32), precision))


def _in_torch(matrix: torch.Tensor) -> Callable[[], object]:
    multiply = torch._int_mm if matrix.dtype == torch.int8 else torch.mm

    def run() -> object:
        with fixed_threads():
            return multiply(matrix, matrix)

    return run


def _in_openvino(matrix: np.ndarray, precision: str) -> Callable[[], object]:
    import openvino as ov
    from openvino import opset13 as ops

    left = ops.parameter(matrix.shape, np.float32)
    graph = ov.Model([ops.matmul(left, ops.constant(matrix), False, False)], [left])
    hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(graph, "CPU", hints).create_infer_request()
    return lambda: request.infer([matrix], share_inputs=True)


@cache
def gflop(name: str) -> float:
    """Operations of one 224 x 224 image, two to a multiply-add, in thousands of millions."""
    with torch.device("meta"):
        network, image = Architecture.from_name(name).build(1000).eval(), torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        network(image)
    return float(counter.get_total_flops() / 1e9)
