"""Forward passes of all architectures, timed in turns on this machine: torch as it is, and OpenVINO, both in fp32."""

import hashlib
import json
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.interleaved import Timing
from examples.cardinality.experiment import Experiment
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.runtimes.runtime import Runtime
from infer_torchvision_resnext.runtimes.selection import choose
from train_torchvision_resnext.resnext.folder.model_folder import ModelConfig, write_model_folder
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing

RUNTIMES = ("torch", "openvino")
BATCHES = (1, 32)
ROUNDS = 30
WARM_ROUNDS = 3
LABELS = tuple(f"class {index}" for index in range(10))


@dataclass(frozen=True)
class Way:
    """What is timed: an architecture in a runtime, with so many images at once."""

    architecture: str
    runtime: str
    batch: int

    @property
    def key(self) -> str:
        return f"{self.architecture} | {self.runtime} | {self.batch}"


def measure(experiment: Experiment, folder: Path, stop: Callable[[], bool], rounds: int = ROUNDS) -> bool:
    """Time every way once a round; each round is written at once, and a later call goes on with the next.

    Returns:
        Whether all rounds are done.
    """
    file = _file(experiment, folder)
    done = _read(file)
    finished = min((len(times) for times in done.values()), default=0)
    if finished >= rounds:
        return True
    with tempfile.TemporaryDirectory() as scratch, _ways(experiment, Path(scratch)) as ways:
        times = {way.key: list(done.get(way.key, ()))[:finished] for way in ways}
        for number in tqdm(range(finished - WARM_ROUNDS, rounds), desc="Forward passes", unit="round"):
            if stop():
                return False
            taken = {way.key: _milliseconds(run) for way, run in ways.items()}
            if number >= finished:
                for key, milliseconds in taken.items():
                    times[key].append(milliseconds)
                _write(file, times)
    return True


def read_timings(experiment: Experiment, folder: Path) -> dict[Way, Timing]:
    """Median and quartiles of what was measured so far on this machine; empty if nothing was."""
    done = _read(_file(experiment, folder))
    ways = [
        Way(str(one), runtime, batch) for one in experiment.architectures for runtime in RUNTIMES for batch in BATCHES
    ]
    return {way: Timing(tuple(done[way.key])) for way in ways if done.get(way.key)}


def machine() -> str:
    """What the timings are of."""
    return (
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {version('torch')}, "
        f"OpenVINO {version('openvino')}"
    )


@contextmanager
def _ways(experiment: Experiment, scratch: Path) -> Iterator[Mapping[Way, Callable[[], object]]]:
    """Every architecture in every runtime, with random weights: what they are does not change the time."""
    ways: dict[Way, Callable[[], object]] = {}
    side = experiment.input_size
    for number, architecture in enumerate(experiment.architectures):
        torch.manual_seed(0)
        model_folder = scratch / str(number)
        config = ModelConfig.of(architecture, LABELS, Preprocessing().scaled_to(side))
        write_model_folder(model_folder, config, architecture.build(len(LABELS)).state_dict())
        for runtime in RUNTIMES:
            network = _runtime(model_folder, runtime, Cache(scratch / "cache"))
            for batch in BATCHES:
                crops = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
                ways[Way(str(architecture), runtime, batch)] = partial(network.run, crops)
    yield ways


def _runtime(model_folder: Path, runtime: str, cache: Cache) -> Runtime:
    parameters = Parameters(weights=str(model_folder), runtime=runtime, precision="fp32", device="cpu")
    return choose(load_model(parameters, cache), parameters, cache)[0]


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000


def _file(experiment: Experiment, folder: Path) -> Path:
    content = json.dumps([machine(), experiment.input_size, [str(one) for one in experiment.architectures], BATCHES])
    return folder / f"speed_{hashlib.sha256(content.encode()).hexdigest()[:12]}.json"


def _read(file: Path) -> dict[str, Sequence[float]]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _write(file: Path, times: Mapping[str, Sequence[float]]) -> None:
    """Whole or not at all."""
    draft = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
    draft.write_text(json.dumps(times), encoding="utf-8")
    draft.replace(file)
