"""Time against the number of objects, the size of the image and the number of frames.

Run alone with `python -m benchmarks growth`.
"""

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import time_in_turns
from benchmarks.speed import HD, MAIN, boxes, frame, our_run
from benchmarks.speed_models import model_folder
from examples.ikomia_home import use_own_home

COUNTS = (1, 2, 4, 8, 16, 32)
MEGAPIXELS = (0.25, 1, 4, 12, 24)
FRAMES = 40


def main(plots: Path | None = None) -> list[dict[str, Any]]:
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other

    folder = model_folder(MAIN)
    image = frame(*HD)
    by_count = time_in_turns({str(n): our_run(folder, image, boxes(n, *HD)) for n in COUNTS}, 3, warm=1)
    sizes = {str(size): (round((size * 0.75e6) ** 0.5), round((size * 1e6 / 0.75) ** 0.5)) for size in MEGAPIXELS}
    by_size = time_in_turns({key: our_run(folder, frame(*shape)) for key, shape in sizes.items()}, 5)
    run, per_frame = our_run(folder, image), []
    for _ in range(FRAMES):
        start = time.perf_counter()
        run()
        per_frame.append((time.perf_counter() - start) * 1000)
    if plots:
        curves = {
            "objects": (COUNTS, [timing.median for timing in by_count.values()]),
            "megapixels": (MEGAPIXELS, [timing.median for timing in by_size.values()]),
            "frame": (range(FRAMES), per_frame),
        }
        plot(curves, plots / "growth.png")
    rows = [{"what": f"{key} objects", "ms, median (quartiles)": str(timing)} for key, timing in by_count.items()]
    rows += [{"what": f"{key} MP image", "ms, median (quartiles)": str(timing)} for key, timing in by_size.items()]
    first, rest = per_frame[0], np.median(per_frame[1:])
    rows.append({"what": f"first frame, then {FRAMES - 1} more", "ms, median (quartiles)": f"{first:.1f}, {rest:.1f}"})
    return rows


def plot(curves: dict[str, tuple[Any, list[float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3), layout="constrained")
    for axes, (what, (places, values)) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot(places, values, marker="." if what == "frame" else "o", linewidth=1.2)
        axes.set(xlabel=what, ylabel="ms", ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
