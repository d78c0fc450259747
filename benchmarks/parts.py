"""Where the time of a run through the whole host goes, beside the bare forward pass. What the aims are missed by.

Run alone with `python -m benchmarks parts`.
"""

import time
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks import contenders
from benchmarks.speed import MAIN, ONE_MEGAPIXEL, TWELVE_MEGAPIXELS, bare_graph, frame, our_workflow, precisions
from benchmarks.speed_models import model_folder
from examples.ikomia_home import use_own_home

ROUNDS, WARM = 15, 2


def main() -> list[dict[str, Any]]:
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other

    folder = model_folder(MAIN, int8=True)
    images = {"1 MP": frame(*ONE_MEGAPIXEL), "12 MP": frame(*TWELVE_MEGAPIXELS)}
    ways = {
        (size, precision): our_workflow(folder, runtime="openvino", precision=precision)
        for size in images
        for precision in precisions(folder)
    }
    bare = {
        precision: contenders.openvino(bare_graph(folder, precision), precision, 1) for precision in precisions(folder)
    }
    parts: dict[tuple[str, str], list[dict[str, float]]] = {key: [] for key in ways}
    for turn in range(ROUNDS + WARM):
        for (size, precision), (workflow, task) in ways.items():
            start = time.perf_counter()
            bare[precision]()
            alone = _since(start)
            start = time.perf_counter()
            workflow.run_on(array=images[size])
            whole = _since(start)
            timings = task.get_output(4).data["timings_ms"]
            inside = timings["preprocess"] + timings["forward"]
            row = {
                "whole host": whole,
                "the host itself": whole - timings["total"],
                "preprocessing": timings["preprocess"],
                "forward pass": timings["forward"],
                "rest of the task": timings["total"] - inside,
                "bare forward pass": alone,
            }
            if turn >= WARM:
                parts[size, precision].append(row)
    return [
        {
            "image": size,
            "precision": precision,
            **{f"{key}, ms": f"{np.median([row[key] for row in rows]):.1f}" for key in rows[0]},
            "whole of bare": f"{np.median([row['whole host'] / row['bare forward pass'] for row in rows]):.2f}",
        }
        for (size, precision), rows in parts.items()
    ]


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
