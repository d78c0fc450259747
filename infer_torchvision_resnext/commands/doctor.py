"""Say what this machine has, and whether every way to run a network agrees.

`python -m infer_torchvision_resnext doctor`. Every runtime, device and precision that is there runs the same images,
from the picture to the probabilities. Installed packages are compared with
both plugins' requirements. What is printed can be pasted into an issue as it is. The exit status is 1 where
something does not agree or fails.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..answers.predictions import by_class
from ..classifier import Classifier
from ..parameters.task import Parameters
from ..resnext.folder.model_folder import ModelConfig, write_model_folder
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.machine.devices import DeviceError, first_line
from ..resnext.network.architecture import Architecture
from ..runtimes.agreement import FP32_TOLERANCE, generated_images
from ..runtimes.packages import PACKAGES
from ..runtimes.runtime import REFERENCE, Configuration
from .dependencies import requirement_problems
from .inventory import inventory, without_home

ARCHITECTURE = Architecture((1, 1, 1, 1), 32, 4)
CLASSES = 10

PICTURE_SIDE = 160
"""Of the pictures that are classified, in pixels: enough to be shrunk."""

PRECISIONS = {
    "torch": ("fp32", "bf16", "fp16"),
    "torch_compile": ("fp32",),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32", "fp16"),
}

PICTURES, ROUNDS = 8, 5
"""How many are compared, all in one batch, and how many of them are then timed one by one."""


@dataclass(frozen=True)
class Outcome:
    """What became of a configuration.

    Attributes:
        answered: the precision that it answered in; empty where it did not.
        change: of any probability of any picture, at most, against torch in fp32 on the CPU.
        milliseconds: for one picture, the fastest of some.
        problem: what is wrong; empty if nothing is.
        absent: why it is not available on this machine.
    """

    configuration: Configuration
    answered: str = ""
    change: float = 0.0
    milliseconds: float = 0.0
    problem: str = ""
    absent: str = ""

    def row(self) -> str:
        """Of a Markdown table."""
        configuration = self.configuration
        asked = f"{configuration.precision} → {self.answered}"
        precision = configuration.precision if self.answered in ("", configuration.precision) else asked
        figures = f"{self.change:.1e} | {self.milliseconds:.1f}" if self.answered else " | "
        verdict = self.problem or self.absent or "agrees"
        return f"| {configuration.runtime} | {configuration.device} | {precision} | {figures} | {verdict} |"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m infer_torchvision_resnext doctor", description=__doc__)
    parser.add_argument("--weights", help="a model folder of your own in the place of a small random network")
    parser.add_argument("--quick", action="store_true", help="leave out torch_compile, which takes a minute to start")
    given = parser.parse_args(arguments)
    for name, found in inventory():
        print(f"- {name}: {found}", flush=True)
    lacking = [*requirement_problems()]
    print(f"- requirements: {'met' if not lacking else 'not met'}", *lacking, sep="\n  - ", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        weights = given.weights or str(random_model(Path(scratch) / "model"))
        print(f"\nmodel: {without_home(given.weights or 'a small random ResNeXt, the same on every machine')}\n")
        print("| runtime | device | precision | largest change | ms | |\n|---|---|---|---|---|---|", flush=True)
        outcomes = []
        # Only a model folder can be quantized.
        left_out = {"torch_compile" if given.quick else "", "" if given.weights else "int8"}
        for outcome in examine(weights, left_out):
            print(without_home(outcome.row()), flush=True)
            outcomes.append(outcome)
    troubled = [outcome.configuration for outcome in outcomes if outcome.problem]
    for runtime in dict.fromkeys(configuration.runtime for configuration in troubled):
        print(f"\n{remedy(runtime, lacking)}")
    names = [*map(str, troubled), *(["requirements"] if lacking else [])]
    print(f"\n{'not in order: ' + ', '.join(names) if names else 'all agree'}")
    return 1 if names else 0


def remedy(runtime: str, lacking: Sequence[str]) -> str:
    """What to do about a runtime that fails or answers differently.

    Args:
        lacking: what is wrong with the installed packages, as `requirement_problems` gives it.
    """
    packages = PACKAGES[runtime]
    if problems := [problem for problem in lacking if problem.split(" ")[0].removesuffix("-gpu") in packages]:
        return f"{runtime}: {'; '.join(problems)}"
    other = "; or set runtime to torch" if runtime != REFERENCE.runtime else ""
    return f"{runtime}: run pip install --upgrade {' '.join(packages)}{other}"


def random_model(folder: Path) -> Path:
    """A model folder with weights that are the same on every machine, and whose answers are not all alike."""
    import torch

    torch.manual_seed(0)
    network = ARCHITECTURE.build(CLASSES).eval()
    with torch.no_grad():
        # A batch normalization as it begins leaves the blocks' sums growing, and logits of thousands.
        for name, tensor in network.state_dict().items():
            if name.endswith("bn3.weight"):
                tensor.fill_(0.5)
        network.fc.weight.div_(network(torch.randn(8, 3, 64, 64)).std(dim=1).mean() / 2)
    labels = tuple(f"class {index}" for index in range(CLASSES))
    write_model_folder(folder, ModelConfig.of(ARCHITECTURE, labels, Preprocessing(73, 64)), network.state_dict())
    return folder


def examine(weights: str, left_out: AbstractSet[str]) -> Iterator[Outcome]:
    """Run every configuration, the reference first, but for runtimes and precisions that are left out."""
    pictures = list(generated_images(PICTURE_SIDE)[:PICTURES])
    gpus = _gpus()
    never = {("cpu", "fp16"), *((gpu, alone) for gpu in gpus for alone in ("openvino", "int8"))}
    asked = [
        Configuration(runtime, precision, device)
        for device in ("cpu", *gpus)
        for runtime, precisions in PRECISIONS.items()
        for precision in precisions
        if not {runtime, precision} & left_out and (device, runtime) not in never and (device, precision) not in never
    ]
    expected: NDArray[np.float64] | None = None
    for configuration in sorted(asked, key=lambda each: each != REFERENCE):
        outcome, probabilities = _examined(configuration, weights, pictures, expected)
        if configuration == REFERENCE:
            expected = probabilities
        yield outcome


def _gpus() -> list[str]:
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def _examined(
    configuration: Configuration,
    weights: str,
    pictures: list[NDArray[np.uint8]],
    expected: NDArray[np.float64] | None,
) -> tuple[Outcome, NDArray[np.float64] | None]:
    parameters = Parameters(
        weights=weights,
        runtime=configuration.runtime,
        precision=configuration.precision,
        device=configuration.device,
        top_k=0,
    )
    classifier = Classifier(say=lambda sentence: None)
    try:
        classifier.prepare(parameters)
        found = by_class(classifier.classify(pictures))
        taken = []
        for picture in pictures[:ROUNDS]:
            start = time.perf_counter()
            classifier.classify([picture])
            taken.append((time.perf_counter() - start) * 1000)
    except DeviceError as error:
        return Outcome(configuration, absent=f"not here: {first_line(error).partition('; ')[0]}"), None
    except Exception as error:
        # A report of what fails must not fail with it.
        return Outcome(configuration, problem=f"FAILS: {type(error).__name__}: {first_line(error)}"), None
    answered = str(classifier.describe()["runtime"]["precision"])
    change = 0.0 if expected is None else float(np.abs(found - expected).max())
    allowed = FP32_TOLERANCE if answered == "fp32" else parameters.guard_tolerance
    problem = "" if change <= allowed else f"DIFFERS by more than {allowed:g}"
    return Outcome(configuration, answered, change, min(taken), problem), found
