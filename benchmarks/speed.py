"""Whole-host latency, forward passes, objects: this plugin beside a plain one and the bare runtimes.

Run alone with `python -m benchmarks speed`. Everything in a table is timed in turns, in one process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import time_in_turns
from benchmarks.limit import best_products, gflop
from benchmarks.speed_models import LABELS, model_folder
from examples.ikomia_home import use_own_home
from infer_torchvision_resnext.resnext.machine.devices import cpu_computes_bf16

MAIN, SHORT = "resnext50_32x4d", ("resnext101_32x8d", "resnext101_64x4d")
ONE_MEGAPIXEL, TWELVE_MEGAPIXELS = (1000, 1000), (3000, 4000)
HD = (720, 1280)
EAGER = "torch eager, forward"
AS_IT_COMES, ALL_THREADS = "/ plain plugin", "/ the same, all threads"


@dataclass(frozen=True)
class Way:
    """A way to classify.

    Attributes:
        precision: of its multiplications, for the floor that it is held against.
        images: how many it classifies at once.
        beside: heading of a column → the way it is compared with there; empty = the table's own.
    """

    precision: str
    run: Callable[[], object]
    images: int = 1
    beside: Mapping[str, str] = field(default_factory=dict)


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
    native = ["bf16"] if cpu_computes_bf16() else []
    return ["fp32", *native, *(["int8"] if (folder / "openvino" / "int8.xml").is_file() else [])]


def our_run(folder: Path, image: np.ndarray, found: list[Any] | None = None, **parameters: Any) -> Callable[[], object]:
    """A run of this plugin through the whole host."""
    workflow, _ = our_workflow(folder, found, **parameters)
    return lambda: workflow.run_on(array=image)


def our_workflow(folder: Path, found: list[Any] | None = None, **parameters: Any) -> tuple[Any, Any]:
    """A workflow with this plugin, and the task in it; behind a detector, if there are boxes that it finds."""
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
    return workflow, task


def plain_run(
    name: str, folder: Path, image: np.ndarray, found: list[Any] | None = None, **options: Any
) -> Callable[[], object]:
    """A run of the plain plugin, with its options; its objects one by one, without the host's own drawing."""
    from ikomia.dataprocess.workflow import Workflow

    from benchmarks.plain_plugin import PlainPlugin

    workflow = Workflow("plain")
    task = PlainPlugin(name, folder / f"{name}.pth", list(LABELS), **options)
    workflow.add_task(task=task, auto_connect=True)
    if found is None:
        return lambda: workflow.run_on(array=image)
    workflow.run_on(array=image)

    def one_by_one() -> None:
        for x, y, width, height in found:
            task.classify(image[int(y) : int(y + height), int(x) : int(x + width)])

    return one_by_one


def forwards(name: str, folder: Path, batch: int) -> dict[str, Way]:
    """Forward passes alone, by what they are called."""
    from benchmarks import contenders

    ways = {
        EAGER: Way("fp32", contenders.torch_eager(name, folder, batch)),
        "timm channels_last, forward": Way("fp32", contenders.timm_eager(name, folder, batch)),
        "torch channels_last bf16, forward": Way("bf16", contenders.torch_channels_last_bf16(name, folder, batch)),
        "ONNX Runtime, forward": Way("fp32", contenders.onnx_runtime(name, folder, batch)),
    }
    return ways | bare_forwards(folder, batch)


def bare_forwards(folder: Path, batch: int) -> dict[str, Way]:
    """OpenVINO's own forward passes, without this plugin."""
    from benchmarks import contenders

    return {
        f"OpenVINO {precision}, forward": Way(
            precision, contenders.openvino(bare_graph(folder, precision), precision, batch)
        )
        for precision in precisions(folder)
    }


def bare_graph(folder: Path, precision: str) -> Path:
    """The OpenVINO graph that the plugin runs in this precision, for the bare runtime."""
    return folder / "openvino" / "int8.xml" if precision == "int8" else graph_file(folder)


def graph_file(folder: Path) -> Path:
    """The plugin's OpenVINO graph of a model folder, saved beside it for the bare runtime."""
    file = folder.parent / f"{folder.name}.xml"
    if not file.is_file():
        from infer_torchvision_resnext.model.cache import Cache
        from infer_torchvision_resnext.model.weights import load_model
        from infer_torchvision_resnext.parameters.task import Parameters
        from infer_torchvision_resnext.resnext.network.conversion import to_openvino
        from infer_torchvision_resnext.resnext.network.openvino_network import save

        model = load_model(Parameters(weights=str(folder)), Cache())
        save(to_openvino(model.network(apart=True), model.preprocessing), file)
    return file


def table(
    name: str, ways: Mapping[str, Way], rounds: int, beside: Mapping[str, str], *, warm: int = 2
) -> list[dict[str, Any]]:
    """Time the ways in turns, the machine's best matrix products among them.

    Args:
        beside: heading of a column → the way that all are compared with there, if they do not name another.
    """
    products = {precision: product for precision, (product, _) in best_products().items()}
    limits = {f"limit {precision}": product.multiply for precision, product in products.items()}
    timings = time_in_turns({**{key: way.run for key, way in ways.items()}, **limits}, rounds, warm)
    rows = []
    for key, way in ways.items():
        # What the network would take at the rate that the matrix product had in the same round.
        floor = timings[f"limit {way.precision}"].over(timings[key])
        share = floor * way.images * gflop(name) / products[way.precision].gflop
        row = {"model": name, "what": key, "ms, median (quartiles)": str(timings[key])}
        compared = {column: timings[key].over(timings[other]) for column, other in (way.beside or beside).items()}
        row |= {column: f"{ratio:.2f}" for column, ratio in compared.items()}
        rows.append({**row, "floor / time": f"{share:.0%}"})
    return rows


def latency(name: str, rounds: int, complete: bool) -> list[dict[str, Any]]:
    """Batch 1: one megapixel, and twelve where `complete`; bare forward passes beside the whole host."""
    folder = model_folder(name, int8=complete)
    ways: dict[str, Way] = {}
    sizes = {"1 MP": ONE_MEGAPIXEL, "12 MP": TWELVE_MEGAPIXELS} if complete else {"1 MP": ONE_MEGAPIXEL}
    for size, shape in sizes.items():
        image, beside = frame(*shape), _plain(f"whole host, {size}")
        for column, key in beside.items():
            ways[key] = Way("fp32", plain_run(name, folder, image, all_threads=column == ALL_THREADS), beside=beside)
        for precision in precisions(folder):
            run = our_run(folder, image, runtime="openvino", precision=precision)
            ways[f"this plugin {precision}, whole host, {size}"] = Way(precision, run, beside=beside)
    for runtime in ("onnxruntime", "torch") if complete else ():
        run = our_run(folder, frame(*ONE_MEGAPIXEL), runtime=runtime, precision="fp32")
        ways[f"this plugin fp32 in {runtime}, whole host, 1 MP"] = Way("fp32", run)
    ways |= forwards(name, folder, 1) if complete else bare_forwards(folder, 1)
    return table(name, ways, rounds, _plain("whole host, 1 MP"))


def _plain(what: str) -> dict[str, str]:
    """The plain plugin as it runs in Ikomia, and with all threads."""
    return {AS_IT_COMES: f"plain plugin, {what}", ALL_THREADS: f"plain plugin with all threads, {what}"}


def batches(name: str, rounds: int, complete: bool) -> list[dict[str, Any]]:
    """Forward passes of 32 images; by all contenders where `complete`, else by PyTorch and OpenVINO."""
    from benchmarks import contenders

    folder = model_folder(name, int8=complete)
    eager = {EAGER: Way("fp32", contenders.torch_eager(name, folder, 32))}
    ways = forwards(name, folder, 32) if complete else eager | bare_forwards(folder, 32)
    ways = {key: replace(way, images=32) for key, way in ways.items()}
    return table(name, ways, rounds, {"/ torch eager": EAGER}, warm=1)


def objects(name: str, rounds: int) -> list[dict[str, Any]]:
    """16 objects of an HD frame, and 100 of twelve megapixels."""
    folder, rows = model_folder(name, int8=True), []
    for count, shape, times in ((16, HD, rounds), (100, TWELVE_MEGAPIXELS, max(1, rounds // 3))):
        image, found = frame(*shape), boxes(count, *shape)
        beside = _plain(f"one by one, {count} objects")
        ways = {
            key: Way("fp32", plain_run(name, folder, image, found, all_threads=column == ALL_THREADS), images=count)
            for column, key in beside.items()
        }
        for precision in precisions(folder):
            run = our_run(folder, image, found, runtime="openvino", precision=precision)
            ways[f"this plugin {precision}, whole host, {count} objects"] = Way(precision, run, images=count)
        rows += table(name, ways, times, beside, warm=1)
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Bars of the main model's times, the machine's floor in each precision as a line across them."""
    from matplotlib.figure import Figure

    shown = [line for line in rows if line["model"] == MAIN][::-1]
    times = [float(str(line["ms, median (quartiles)"]).split(maxsplit=1)[0]) for line in shown]
    figure = Figure(figsize=(9, 0.3 * len(shown) + 1.2), layout="constrained")
    axes = figure.subplots()
    colors = ["tab:blue" if "this plugin" in line["what"] else "silver" for line in shown]
    bars = axes.barh([line["what"] for line in shown], times, color=colors)
    readable = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # across the lines of the floors
    axes.bar_label(bars, [f"{time:.0f}" for time in times], padding=4, bbox=readable)
    for precision, style in (("fp32", "-"), ("bf16", "--"), ("int8", ":")):
        floor = 1000 * gflop(MAIN) / best_products()[precision][1]
        axes.axvline(floor, color="tab:red", linestyle=style, label=f"floor in {precision}")
    axes.set(xlabel=f"ms an image, {MAIN}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=100)


def main(section: str = "latency", plots: Path | None = None) -> list[dict[str, Any]]:
    """Args: section: `latency`, `batches` or `objects`."""
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other

    if section == "latency":
        rows = [*latency(MAIN, 11, complete=True), *(line for name in SHORT for line in latency(name, 5, False))]
        if plots:
            plot(rows, plots / "speed.png")
        return rows
    if section == "batches":
        return [*batches(MAIN, 3, complete=True), *(line for name in SHORT for line in batches(name, 2, False))]
    return objects(MAIN, 6)
