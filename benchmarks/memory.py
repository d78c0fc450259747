"""Memory over the frames of a video, and over runs whose parameters change. `python -m benchmarks memory`."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from examples.digits import sheet_of, training_and_held_out
from examples.ikomia_home import REPOSITORY, use_own_home

FRAMES, WARM = 500, 50
WIDTH, HEIGHT = 640, 480
RUNS, LOOKS, CHANGE = 2000, 8, 50
"""Runs of one workflow, how often its process is measured, and after how many runs the parameters change."""
DIGITS = {"weights": str(REPOSITORY / "examples" / "models" / "digits"), "device": "cpu"}


def write_video(path: Path) -> None:
    """500 frames of moving noise, so that no two are alike."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for index in range(FRAMES):
        writer.write(np.roll(noise, index, axis=1))
    writer.release()


def measure() -> list[float]:
    """Resident memory of this process after each frame, in MiB."""
    import psutil
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("memory")
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters({**DIGITS, "input_size": "224"})
    process, curve = psutil.Process(), []
    end_task_run = task.end_task_run

    def end_and_look() -> None:
        end_task_run()
        curve.append(process.memory_info().rss / 2**20)

    task.end_task_run = end_and_look
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.avi"
        write_video(path)
        workflow.run_on(path=str(path))
    return curve


def plot(curve: list[float], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve, linewidth=1.2)
    title = f"{len(curve)} frames of video"
    axes.set(xlabel="frame", ylabel="resident memory, MiB", ylim=(0, 1.15 * max(curve)), title=title)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main(plots: Path | None = None) -> list[dict[str, Any]]:
    use_own_home()
    curve = measure()
    if plots:
        plot(curve, plots / "memory.png")
    early, late = np.median(curve[WARM : 2 * WARM]), np.median(curve[-WARM:])
    slope = np.polyfit(np.arange(len(curve) - WARM), curve[WARM:], 1)[0]
    return [
        {
            "frames": len(curve),
            "size": f"{WIDTH} x {HEIGHT}",
            f"MiB, frames {WARM} to {2 * WARM}": f"{early:.0f}",
            f"MiB, last {WARM} frames": f"{late:.0f}",
            "growth, KiB a frame": f"{1024 * slope:.1f}",
        }
    ]


def repeat_runs(runs: int = RUNS) -> list[dict[str, Any]]:
    """Memory, threads and open files of this process over runs of one workflow."""
    use_own_home()
    import psutil
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("memory of runs")
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters(DIGITS)
    sheet, _ = sheet_of(training_and_held_out()[1], 3, 4)
    process, rows = psutil.Process(), []
    for number in range(runs + 1):
        if number % (runs // LOOKS) == 0:
            rows.append(
                {
                    "runs": number,
                    "resident memory, MB": f"{process.memory_info().rss / 1e6:.0f}",
                    "threads": process.num_threads(),
                    "open files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
                }
            )
        workflow.run_on(array=np.ascontiguousarray(np.roll(sheet, 4 * (number % 12), axis=1)))
        # What a user changes now and then: another size, another number of answers, and back again.
        if number % CHANGE == CHANGE - 1:
            task.set_parameters(
                {"input_size": str((0, 48)[number // CHANGE % 2]), "top_k": str(1 + number // CHANGE % 5)}
            )
    return rows
