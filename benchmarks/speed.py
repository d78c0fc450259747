"""Whole-host latency, forward passes, objects: this plugin beside a plain one and the bare runtimes.

Run alone with `python -m benchmarks speed`. Everything in a table is timed in turns, in one process.
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import Timing, time_in_turns
from benchmarks.limit import floor_ms
from benchmarks.speed_models import LABELS, model_folder
from examples.ikomia_home import use_own_home
from infer_torchvision_resnext.resnext.devices import cpu_computes_bf16

MAIN, SHORT = "resnext50_32x4d", ("resnext101_32x8d", "resnext101_64x4d")
ONE_MEGAPIXEL, TWELVE_MEGAPIXELS = (1000, 1000), (3000, 4000)
HD = (720, 1280)


def frame(height: int, width: int) -> np.ndarray:
    """A photo enlarged to that size: RGB, uint8."""
    import sklearn.datasets
    from PIL import Image

    photo = Image.fromarray(sklearn.datasets.load_sample_images().images[0])
    return np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC))


def boxes(count: int, height: int, width: int) -> list[tuple[float, float, float, float]]:
    """x, y, width, height of objects of many sizes, about a tenth of the frame's sides."""
    random = np.random.default_rng(0)
    sides = random.uniform(0.05, 0.2, (count, 2)) * (width, height)
    corners = random.uniform(0, 1, (count, 2)) * ((width, height) - sides)
    return [(*map(float, corner), *map(float, side)) for corner, side in zip(corners, sides, strict=True)]


def precisions(folder: Path) -> list[str]:
    """What this model and machine run natively."""
    return [
        "fp32",
        *(["bf16"] if cpu_computes_bf16() else []),
        *(["int8"] if (folder / "openvino" / "int8.xml").is_file() else []),
    ]


def our_run(folder: Path, image: np.ndarray, found: list[Any] | None = None, **parameters: Any) -> Callable[[], object]:
    """A run of this plugin through the whole host."""
    from ikomia.dataprocess.workflow import Workflow

    from benchmarks.plain_plugin import Detector

    workflow = Workflow("ours")
    if found is not None:
        detector = workflow.add_task(task=Detector(found), auto_connect=True)
        task = workflow.add_task(name="infer_torchvision_resnext")
        workflow.connect_tasks(workflow.root(), task, [(0, 0)])
        workflow.connect_tasks(detector, task, [(1, 1)])
    else:
        task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters({"weights": str(folder), "device": "cpu", **parameters})
    return lambda: workflow.run_on(array=image)


def plain_run(name: str, folder: Path, image: np.ndarray, found: list[Any] | None = None) -> Callable[[], object]:
    """A run of the plain plugin; its objects one by one, without the host's own drawing."""
    from ikomia.dataprocess.workflow import Workflow

    from benchmarks.plain_plugin import PlainPlugin

    workflow = Workflow("plain")
    task = PlainPlugin(name, folder / f"{name}.pth", list(LABELS))
    workflow.add_task(task=task, auto_connect=True)
    if found is None:
        return lambda: workflow.run_on(array=image)
    workflow.run_on(array=image)

    def one_by_one() -> None:
        for x, y, width, height in found:
            task.classify(image[int(y) : int(y + height), int(x) : int(x + width)])

    return one_by_one


def forwards(name: str, folder: Path, batch: int) -> dict[str, tuple[str, Callable[[], object]]]:
    """Forward passes alone: what they are called → their precision, and how to run them."""
    from benchmarks import contenders

    ways: dict[str, tuple[str, Callable[[], object]]] = {
        "torch eager, forward": ("fp32", contenders.torch_eager(name, folder, batch)),
        "timm channels_last, forward": ("fp32", contenders.timm_eager(name, folder, batch)),
        "torch channels_last bf16, forward": ("bf16", contenders.torch_channels_last_bf16(name, folder, batch)),
        "ONNX Runtime, forward": ("fp32", contenders.onnx_runtime(name, folder, batch)),
    }
    for precision in precisions(folder):
        file = folder / "openvino" / "int8.xml" if precision == "int8" else graph_file(folder)
        ways[f"OpenVINO {precision}, forward"] = (precision, contenders.openvino(file, precision, batch))
    return ways


def graph_file(folder: Path) -> Path:
    """The plugin's OpenVINO graph of a model folder, saved beside it for the bare runtime."""
    file = folder.parent / f"{folder.name}.xml"
    if not file.is_file():
        import openvino as ov

        from infer_torchvision_resnext.cache import Cache
        from infer_torchvision_resnext.parameters import Parameters
        from infer_torchvision_resnext.runtimes.openvino_graph import build_graph
        from infer_torchvision_resnext.weights import load_model

        model = load_model(Parameters(weights=str(folder)), Cache())
        graph = build_graph(model.architecture, model.arrays(), model.preprocessing)
        ov.save_model(graph, file, compress_to_fp16=False)
    return file


def latency(name: str, rounds: int, complete: bool) -> list[dict[str, Any]]:
    """Batch 1: one megapixel, and twelve where `complete`; bare forward passes beside the whole host."""
    folder = model_folder(name, int8=complete)
    ways: dict[str, tuple[str, Callable[[], object]]] = {}
    sizes = {"1 MP": ONE_MEGAPIXEL, "12 MP": TWELVE_MEGAPIXELS} if complete else {"1 MP": ONE_MEGAPIXEL}
    for size, shape in sizes.items():
        image = frame(*shape)
        ways[f"plain plugin, whole host, {size}"] = ("fp32", plain_run(name, folder, image))
        for precision in precisions(folder):
            run = our_run(folder, image, runtime="openvino", precision=precision)
            ways[f"this plugin {precision}, whole host, {size}"] = (precision, run)
    if complete:
        image = frame(*ONE_MEGAPIXEL)
        for runtime in ("onnxruntime", "torch"):
            run = our_run(folder, image, runtime=runtime, precision="fp32")
            ways[f"this plugin fp32 in {runtime}, whole host, 1 MP"] = ("fp32", run)
        ways |= forwards(name, folder, 1)
    else:
        for precision in precisions(folder):
            from benchmarks import contenders

            forward = contenders.openvino(graph_file(folder), precision, 1)
            ways[f"OpenVINO {precision}, forward"] = (precision, forward)
    timings = time_in_turns({key: way for key, (_, way) in ways.items()}, rounds)
    plain = timings["plain plugin, whole host, 1 MP"].median
    return [row(name, key, ways[key][0], timing, plain=plain) for key, timing in timings.items()]


def row(name: str, what: str, precision: str, timing: Timing, *, plain: float, images: int = 1) -> dict[str, Any]:  # noqa: PLR0913
    return {
        "model": name,
        "what": what,
        "ms, median (quartiles)": str(timing),
        "of the plain plugin": f"{timing.median / plain:.2f}",
        "of the floor": f"{images * floor_ms(name, precision) / timing.median:.0%}",
    }


def batches(name: str, rounds: int) -> list[dict[str, Any]]:
    """Forward passes of 32 images."""
    folder = model_folder(name, int8=True)
    ways = forwards(name, folder, 32)
    timings = time_in_turns({key: way for key, (_, way) in ways.items()}, rounds, warm=1)
    eager = timings["torch eager, forward"].median
    rows = [
        row(name, f"{key}, batch 32", ways[key][0], timing, plain=eager, images=32) for key, timing in timings.items()
    ]
    return _beside_eager(rows)


def compiled(name: str, rounds: int) -> list[dict[str, Any]]:
    """torch.compile, which takes minutes to start, beside eager PyTorch; one image."""
    import torch

    from benchmarks import contenders

    folder = model_folder(name)
    ways = {
        "torch eager, forward": ("fp32", contenders.torch_eager(name, folder, 1)),
        "torch.compile fp32, forward": ("fp32", contenders.torch_compiled(name, folder, 1)),
        "torch.compile bf16, forward": ("bf16", contenders.torch_compiled(name, folder, 1, torch.bfloat16)),
    }
    timings = time_in_turns({key: way for key, (_, way) in ways.items()}, rounds)
    eager = timings["torch eager, forward"].median
    return _beside_eager([row(name, key, ways[key][0], timing, plain=eager) for key, timing in timings.items()])


def _beside_eager(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{("of torch eager" if key == "of the plain plugin" else key): line[key] for key in line} for line in rows]


def objects(name: str, rounds: int) -> list[dict[str, Any]]:
    """16 objects of an HD frame, and 100 of twelve megapixels."""
    folder, rows = model_folder(name, int8=True), []
    for count, shape, times in ((16, HD, rounds), (100, TWELVE_MEGAPIXELS, max(1, rounds // 3))):
        image, found = frame(*shape), boxes(count, *shape)
        ways = {"plain plugin's classify, one by one": ("fp32", plain_run(name, folder, image, found))}
        for precision in precisions(folder):
            run = our_run(folder, image, found, runtime="openvino", precision=precision)
            ways[f"this plugin {precision}, whole host"] = (precision, run)
        timings = time_in_turns({key: way for key, (_, way) in ways.items()}, times, warm=1)
        plain = timings["plain plugin's classify, one by one"].median
        rows += [
            row(name, f"{count} objects, {key}", ways[key][0], timings[key], plain=plain, images=count)
            for key in timings
        ]
    return rows


def main(section: str = "latency") -> list[dict[str, Any]]:
    # Torch's compiler leaves its files in a shared folder otherwise.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(model_folder(MAIN).parent / "inductor"))
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other

    if section == "latency":
        return [*latency(MAIN, 11, complete=True), *(line for name in SHORT for line in latency(name, 5, False))]
    if section == "compiled":
        return compiled(MAIN, 15)
    return batches(MAIN, 3) if section == "batches" else objects(MAIN, 6)
