"""What torch computes beside Ikomia on a busy machine: `python -m benchmarks.beside_ikomia`.

The report that this belongs to is docs/torch_beside_ikomia.md.

Importing Ikomia turns on OpenMP's dynamic adjustment, which counts the load of the last 15 minutes. Where that is not
high enough, this says so, and shows nothing.
"""

import os
import subprocess
import sys

CODE = """
import ctypes, os, sys
os.environ["IKOMIA_AUTO_COMPLETION"] = "False"
if sys.argv[1] == "beside":
    import ikomia
import torch
from torchvision.models import resnext50_32x4d

openmp = ctypes.CDLL("libgomp.so.1")
adjusted = openmp.omp_get_dynamic()
torch.manual_seed(0)
network, image = resnext50_32x4d().eval(), torch.randn(1, 3, 224, 224)
weights = torch.randn(64, 64, 1, 1, requires_grad=True)
pixels = torch.randn(8, 64, 56, 56)

def gradient():
    return torch.autograd.grad(torch.nn.functional.conv2d(pixels, weights).square().sum(), weights)[0]

with torch.inference_mode():
    openmp.omp_set_dynamic(0)
    right = network(image).softmax(1)
expected = gradient()
openmp.omp_set_dynamic(adjusted)
with torch.inference_mode():
    change = max((network(image).softmax(1) - right).abs().max().item() for _ in range(5))
off = max(((gradient() - expected).abs().max() / expected.abs().max()).item() for _ in range(5))
print(f"adjustment {adjusted}: probabilities change by {change:.1e}, a gradient by {off:.1e}")
"""

PATIENCE_S = 120


def main() -> None:
    load = os.getloadavg()[2]
    print(f"load of the last 15 minutes: {load:.2f}, {os.cpu_count()} cores")
    if load < 1:
        print("too little for OpenMP to take threads away: keep the machine busy for a quarter of an hour first")
    for how in ("alone", "beside"):
        print(f"{how}: {_said(how)}")


def _said(how: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE, how], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PATIENCE_S} s; torch waits for threads that never come"
    return done.stdout.strip() or done.stderr.strip()


if __name__ == "__main__":
    main()
