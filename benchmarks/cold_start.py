"""From a new process to its first answer, with the peak of its memory. Run alone with `python -m benchmarks cold`."""

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.speed import MAIN
from benchmarks.speed_models import LABELS, model_folder
from examples.ikomia_home import REPOSITORY, use_own_home

ROUNDS = 5

COMMON = """
import json, sys
import numpy as np
from ikomia.dataprocess.workflow import Workflow
wf = Workflow("cold")
image = np.full((1000, 1000, 3), 128, np.uint8)
"""
OURS = """
task = wf.add_task(name="infer_torchvision_resnext", auto_connect=True)
task.set_parameters(PARAMETERS)
wf.run_on(array=image)
assert task.get_whole_image_results()
"""
PLAIN = """
from pathlib import Path
from benchmarks.plain_plugin import PlainPlugin
task = PlainPlugin(NAME, Path(WEIGHTS), LABELS)
wf.add_task(task=task, auto_connect=True)
wf.run_on(array=image)
assert task.get_whole_image_results()
"""
END = """
try:
    # Linux: the peak of this program, unlike getrusage's without what its parent held when it was started.
    peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    import psutil
    peak = psutil.Process().memory_info().rss / 2**20
print(json.dumps([peak, "torch" in sys.modules]))
"""


def programs() -> dict[str, str]:
    folder = str(model_folder(MAIN))
    weights = f"NAME, WEIGHTS, LABELS = {MAIN!r}, {folder + '/' + MAIN + '.pth'!r}, {list(LABELS)!r}"
    ways = {"the host alone": COMMON + "task = None", "plain plugin": f"{COMMON}{weights}{PLAIN}"}
    for runtime, precision in (
        ("torch", "fp32"),
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
        ("openvino", "bf16"),
    ):
        parameters = {"weights": folder, "device": "cpu", "runtime": runtime, "precision": precision}
        ways[f"this plugin, {runtime} {precision}"] = f"{COMMON}PARAMETERS = {parameters!r}{OURS}"
    return {name: f"{program}\n{END}" for name, program in ways.items()}


def main() -> list[dict[str, Any]]:
    use_own_home()
    ways = programs()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    seen: dict[str, list[Any]] = {}
    for turn in range(ROUNDS + 1):
        for name, program in ways.items():
            start = time.perf_counter()
            finished = subprocess.run(
                [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
            )
            taken = time.perf_counter() - start
            if finished.returncode:
                raise RuntimeError(f"{name}: {finished.stderr}")
            # The first turn fills caches, this plugin's own among them.
            if turn:
                seconds[name].append(taken)
            seen[name] = json.loads(finished.stdout.strip().splitlines()[-1])
    plain = float(np.median(seconds["plain plugin"]))
    return [
        {
            "what": name,
            "s, median (quartiles)": "{1:.2f} ({0:.2f} to {2:.2f})".format(*np.percentile(values, [25, 50, 75])),
            "of the plain plugin": f"{np.median(values) / plain:.2f}",
            "peak memory, MiB": f"{seen[name][0]:.0f}",
            "torch imported": "yes" if seen[name][1] else "no",
        }
        for name, values in seconds.items()
    ]
