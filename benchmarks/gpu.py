"""On a GPU: forward passes, the whole host and training, each beside plain PyTorch in the same run.

`make bench-gpu` runs it, in well under an hour, and writes `bench/gpu.md`, ready for a README. `--rehearse` runs all of
it on the CPU, once and small, to see that it works before a GPU is there; its figures mean nothing.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models import get_model

from benchmarks import training
from benchmarks.interleaved import time_in_turns
from benchmarks.speed import HD, MAIN, ONE_MEGAPIXEL, SHORT, TWELVE_MEGAPIXELS, boxes, frame, our_run, plain_run
from benchmarks.speed_models import model_folder
from benchmarks.table import markdown
from examples.ikomia_home import REPOSITORY, use_own_home
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.model import Model
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.devices import first_line, gpu_identity
from infer_torchvision_resnext.runtimes.cuda_runtime import CudaRuntime
from infer_torchvision_resnext.runtimes.fused_network import FusedNetwork

FILE = REPOSITORY / "bench" / "gpu.md"

PLAIN = ("eager fp16", "channels-last fp16", "compiled fp16")
"""The best of these is what every way is held against."""


@dataclass(frozen=True)
class Scale:
    """How much is measured, and where."""

    device: torch.device
    half: torch.dtype
    models: tuple[str, ...]
    batches: tuple[int, ...]
    rounds: int
    compiles: bool
    epochs: int

    def finish(self) -> None:
        """Wait for the GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def precision(self) -> str:
        return "fp32" if self.half == torch.float32 else "fp16"


WHOLE = Scale(torch.device("cuda", 0), torch.float16, (MAIN, *SHORT), (1, 8, 32, 64), 20, compiles=True, epochs=3)
REHEARSAL = Scale(torch.device("cpu"), torch.float32, (MAIN,), (1, 2), 1, compiles=False, epochs=0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, once and small")
    scale = REHEARSAL if parser.parse_args().rehearse else WHOLE
    use_own_home()
    import_module("ikomia")  # its OpenCV must come before any other
    FILE.parent.mkdir(exist_ok=True)
    machine = " ".join(gpu_identity(0)) or "the CPU"
    parts = [f"{machine}, torch {version('torch')}, cuDNN {torch.backends.cudnn.version()}"]
    for title, rows in sections(scale):
        parts.append(f"## {title}\n\n{markdown(rows)}")
        FILE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"))


def sections(scale: Scale) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Titles and tables."""
    for name in scale.models:
        for batch in scale.batches:
            yield f"Forward passes, {name}, batch {batch}", forward_passes(name, batch, scale)
        yield f"The whole host, {name}", whole_host(name, scale)
    if scale.epochs:
        yield "Training", trainings(scale.epochs)


def forward_passes(name: str, batch: int, scale: Scale) -> list[dict[str, Any]]:
    """Pixels are on the device already, but for ONNX Runtime, which takes them from the CPU."""
    built, memory = {}, {}
    for way, build in builders(name, batch, scale).items():
        before = _reset_memory(scale)
        if run := _built(f"{way}, {name}, batch {batch}", build):
            built[way], memory[way] = run, _peak_memory(scale, before)
    timings = time_in_turns(built, scale.rounds)
    plain = [way for way in PLAIN if way in timings]
    return [
        {
            "way": way,
            "ms, median (quartiles)": str(timing),
            "images/s": f"{1000 * batch / timing.median:.0f}",
            "speed / best plain": f"{min(timings[other].over(timing) for other in plain):.2f}",
            "memory, MB": memory[way],
        }
        for way, timing in timings.items()
    ]


def _built(title: str, build: Callable[[], Callable[[], object]]) -> Callable[[], object] | None:
    """A way that has run; None where it cannot: TensorRT, a compiler or memory may be missing."""
    try:
        run = build()
        for _ in range(3):
            run()
    except Exception as error:
        print(f"without {title}: {type(error).__name__}: {first_line(error)}", flush=True)
        return None
    return run


def builders(name: str, batch: int, scale: Scale) -> dict[str, Callable[[], Callable[[], object]]]:
    """Ways → what makes them ready."""
    model = load_model(Parameters(weights=str(model_folder(name))), Cache())
    crops = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    ways: dict[str, Callable[[], Callable[[], object]]] = {
        "eager fp32": lambda: _plain(name, batch, scale, torch.float32),
        "eager fp16": lambda: _plain(name, batch, scale, scale.half),
        "channels-last fp16": lambda: _plain(name, batch, scale, scale.half, torch.channels_last),
        "fused fp16": lambda: _fused(model, crops, scale),
        "this plugin fp16": lambda: _ours(model, crops, scale, scale.precision),
        "this plugin fp32": lambda: _ours(model, crops, scale, "fp32"),
        "ONNX Runtime CUDA fp16": lambda: _onnxruntime(model, crops, scale, "CUDAExecutionProvider"),
    }
    if scale.compiles:
        last = (name, batch, scale, scale.half, torch.channels_last)
        ways["compiled fp16"] = lambda: _plain(*last, mode="default")
        ways["compiled fp16, graphs"] = lambda: _plain(*last, mode="reduce-overhead")
        ways["ONNX Runtime TensorRT fp16"] = lambda: _onnxruntime(model, crops, scale, "TensorrtExecutionProvider")
    return ways


def _plain(  # noqa: PLR0913, PLR0917
    name: str,
    batch: int,
    scale: Scale,
    dtype: torch.dtype,
    layout: torch.memory_format = torch.contiguous_format,
    mode: str = "",
) -> Callable[[], object]:
    """The network as torchvision's documentation shows it; compiled, if a mode is given."""
    network: Any = get_model(name)
    network.load_state_dict(torch.load(model_folder(name) / f"{name}.pth", weights_only=True))
    network = network.eval().requires_grad_(False).to(scale.device, dtype).to(memory_format=layout)
    pixels = torch.randn(batch, 3, 224, 224).to(scale.device, dtype).contiguous(memory_format=layout)
    network = torch.compile(network, mode=mode) if mode else network

    def run() -> None:
        with torch.no_grad():
            network(pixels)
        scale.finish()

    return run


def _fused(model: Model, crops: np.ndarray, scale: Scale) -> Callable[[], object]:
    network = model.network().requires_grad_(False).float()
    fused = FusedNetwork(network, Preprocessing(), scale.device, scale.half)
    there = torch.from_numpy(crops).to(scale.device)

    def run() -> None:
        with torch.no_grad():
            fused(there)
        scale.finish()

    return run


def _ours(model: Model, crops: np.ndarray, scale: Scale, precision: str) -> Callable[[], object]:
    """As `auto` runs it: fused, as graphs, the logits fetched."""
    runtime = CudaRuntime.load(model, str(scale.device), precision, 0)
    there = torch.from_numpy(crops).to(scale.device)
    return lambda: runtime.run(there)


def _onnxruntime(model: Model, crops: np.ndarray, scale: Scale, provider: str) -> Callable[[], object]:
    import onnxruntime

    from infer_torchvision_resnext.runtimes.onnxruntime_runtime import converted

    if scale.device.type == "cpu":
        provider = "CPUExecutionProvider"
    options = {"trt_fp16_enable": "1"} if provider.startswith("Tensorrt") else {}
    session = onnxruntime.InferenceSession(converted(model, scale.precision), providers=[(provider, options)])
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"{provider} does not start")
    return lambda: session.run(None, {"crops": crops})


def whole_host(name: str, scale: Scale) -> list[dict[str, Any]]:
    """An image, 16 objects and 100: a run of the workflow, from the array to the results."""
    folder, rows, device = model_folder(name), [], scale.device.type
    for what, shape, count in (
        ("1 image", ONE_MEGAPIXEL, 0),
        ("16 objects", HD, 16),
        ("100 objects", TWELVE_MEGAPIXELS, 100),
    ):
        image = frame(*shape)
        found = boxes(count, *shape) if count else None
        ways = {
            "plain plugin": plain_run(name, folder, image, found, device=device),
            **{
                f"this plugin {precision}": our_run(
                    folder, image, found, device=device, runtime="torch", precision=precision
                )
                for precision in dict.fromkeys((scale.precision, "fp32"))
            },
        }
        for way, timing in (timings := time_in_turns(ways, scale.rounds)).items():
            times = f"{timings['plain plugin'].over(timing):.1f}"
            rows.append({"what": what, "way": way, "ms, median (quartiles)": str(timing), "times as fast": times})
    return rows


def trainings(epochs: int) -> list[dict[str, Any]]:
    """ResNeXt-50 on digits, by epochs in turns: this task in its own precision, bf16 on newer GPUs."""
    with tempfile.TemporaryDirectory() as scratch:
        digits = training.write_digits(Path(scratch) / "digits")
        count = sum(1 for _ in digits.rglob("*.png"))
        rows = [
            row
            for side in (64, 224)
            for row in training.compare(f"digits, {side} px", digits, side, epochs, others=(training.COMPILED,))
        ]
    for row in rows:
        # An epoch is training and validation.
        row["images/s"] = f"{count / float(row['seconds of each epoch'].split(', ')[-1]):.0f}"
    return rows


def _reset_memory(scale: Scale) -> int:
    if scale.device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(scale.device)
    return torch.cuda.memory_allocated(scale.device)


def _peak_memory(scale: Scale, before: int) -> str:
    """What torch took at most; ONNX Runtime's own is not seen."""
    if scale.device.type != "cuda":
        return ""
    return f"{(torch.cuda.max_memory_allocated(scale.device) - before) / 2**20:.0f}"


if __name__ == "__main__":
    main()
