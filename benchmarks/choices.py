"""What ARCHITECTURE.md says was measured before it was decided; resnext50 on the CPU, 1 and 8 images, 100 objects.

Run alone with `python -m benchmarks choices`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.interleaved import time_in_turns
from benchmarks.speed import HD, MAIN, boxes, frame
from benchmarks.speed_models import model_folder
from examples.ikomia_home import DEMO, use_own_home
from infer_torchvision_resnext.cache import Cache
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model import Model
from infer_torchvision_resnext.parameters import Parameters
from infer_torchvision_resnext.predictions import Prediction
from infer_torchvision_resnext.resnext.machine.threads import core_count
from infer_torchvision_resnext.resnext.network.conversion import crops_to_onnx
from infer_torchvision_resnext.runtimes.folding import fold_batch_norms
from infer_torchvision_resnext.runtimes.runtime import Crops, Runtime
from infer_torchvision_resnext.weights import load_model

ROUNDS = 15

Ways = dict[str, Callable[[], object]]


def folding(model: Model) -> Ways:
    """Batch normalization computed, or folded into the convolutions; eager torch, channels last."""
    pixels = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def way(dtype: torch.dtype, folded: bool, count: int) -> Callable[[], object]:
        network = model.architecture.load(model.state).float()
        if folded:
            fold_batch_norms(network)
        network = network.to(dtype, memory_format=torch.channels_last)
        batch = pixels[:count].to(dtype, memory_format=torch.channels_last)

        def forward() -> object:
            with torch.inference_mode():
                return network(batch)

        return forward

    return {
        f"torch {name}, batch {count}, {'folded' if folded else 'as it is'}": way(dtype, folded, count)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        for count in (1, 8)
        for folded in (False, True)
    }


def spinning(model: Model) -> Ways:
    """ONNX Runtime's threads between runs: spinning, which strikes the session that comes next, or asleep."""
    graph = crops_to_onnx(model.network(apart=True), model.preprocessing).SerializeToString()
    crops = np.zeros((1, 224, 224, 3), np.uint8)

    def way(spin: bool) -> Callable[[], object]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = core_count(0)
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        return lambda: session.run(None, {"crops": crops})

    return {
        "ONNX Runtime, spinning": way(True),
        "ONNX Runtime, asleep, right after one that spins": way(False),
        "ONNX Runtime, asleep, right after one asleep": way(False),
    }


WORKERS = ThreadPoolExecutor(core_count(0))


class Pooled(Classifier):
    """Crops the images of a batch in several threads."""

    def _crops(self, runtime: Runtime, images: Sequence[Any]) -> Crops:
        return np.stack(list(WORKERS.map(self.preprocessing.crop, images)))


class Overlapped(Classifier):
    """Crops the next batch while the network looks at this one."""

    def ahead(self, images: Sequence[Any]) -> list[Prediction]:
        """As `classify`."""
        size, pool = self._parameters.batch_size, WORKERS
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        pending, answers = pool.map(self.preprocessing.crop, parts[0]), list[Prediction]()
        for following in [*parts[1:], []]:
            crops = np.stack(list(pending))
            pending = pool.map(self.preprocessing.crop, following)
            answers += self.classify_crops(crops)
        return answers


def overlap() -> Ways:
    """Objects of an HD frame, their crops made one by one, in several threads, or ahead of the network."""
    image = frame(*HD)
    views = [image[int(y) : int(y + height), int(x) : int(x + width)] for x, y, width, height in boxes(100, *HD)]
    asked = Parameters(weights=str(model_folder(MAIN)), device="cpu", batch_size=32)
    plain, pooled, ahead = (kind(DEMO / "choices") for kind in (Classifier, Pooled, Overlapped))
    for classifier in (plain, pooled, ahead):
        classifier.prepare(asked)
    return {
        "16 objects, crops one by one": lambda: plain.classify(views[:16]),
        "16 objects, crops in a pool": lambda: pooled.classify(views[:16]),
        "100 objects, crops, then network": lambda: plain.classify(views),
        "100 objects, crops ahead of the network": lambda: ahead.ahead(views),
    }


def main() -> list[dict[str, Any]]:
    use_own_home()
    model = load_model(Parameters(weights=str(model_folder(MAIN))), Cache())
    groups = ((folding(model), ROUNDS), (spinning(model), ROUNDS), (overlap(), ROUNDS // 2))
    return [
        {"what": name, "ms, median (quartiles)": str(timing)}
        for ways, rounds in groups
        for name, timing in time_in_turns(ways, rounds).items()
    ]
