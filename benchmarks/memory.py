"""Memory over the frames of a video. Run alone with `python -m benchmarks.memory`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from examples.ikomia_home import REPOSITORY, use_own_home

FRAMES, WARM = 500, 50
WIDTH, HEIGHT = 640, 480


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
    task.set_parameters({"weights": str(REPOSITORY / "examples" / "models" / "digits"), "input_size": "224"})
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


def plot(places: Sequence[float], curve: list[float], along: str, title: str, path: Path) -> None:
    """Memory in MiB along frames or time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(places, curve, linewidth=1.2)
    axes.set(xlabel=along, ylabel="resident memory, MiB", ylim=(0, 1.15 * max(curve)), title=title)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main(plots: Path | None = None) -> list[dict[str, Any]]:
    use_own_home()
    curve = measure()
    if plots:
        plot(range(len(curve)), curve, "frame", f"{len(curve)} frames of video", plots / "memory.png")
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


if __name__ == "__main__":
    from benchmarks.table import markdown

    print(markdown(main()))
