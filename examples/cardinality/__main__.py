"""Compare architectures by cost, speed, and accuracy at an equal budget.

Without arguments: ResNet and ResNeXt at constant cost on handwritten digits, few to learn from and many to be judged
by. Stop it with Ctrl-C, and go on with the same command.
"""

import argparse
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from examples.cardinality.presets import DEFAULT, PRESETS
from examples.cardinality.speed import ROUNDS, WARM_ROUNDS
from examples.ikomia_home import REPOSITORY, use_own_home

if TYPE_CHECKING:
    from examples.cardinality.experiment import Experiment

FOLDER = REPOSITORY / "bench" / "comparison"


def main() -> None:
    arguments = _parse()
    use_own_home()
    # Its OpenCV decodes the images, and must come before any other.
    import ikomia  # noqa: F401

    from examples.cardinality.compare import PARTS, compare
    from train_torchvision_resnext.run.progress import TrainingError

    try:
        experiment = _experiment(arguments)
        folder = arguments.output or FOLDER / (experiment.dataset.name if experiment.dataset else "cost")
        parts = [part for part in PARTS if part not in arguments.without]
        page = compare(experiment, folder, _stop_on_signals().is_set, parts, arguments.rounds)
    except (ValueError, TrainingError) as error:
        raise SystemExit(str(error)) from error
    print((folder / "comparison.md").read_text(encoding="utf-8"))
    print(page)


def _experiment(arguments: argparse.Namespace) -> "Experiment":
    """What the command line asks for. Raises: ValueError."""
    from examples.cardinality.cost import at_constant_cost
    from examples.cardinality.experiment import Experiment
    from train_torchvision_resnext.resnext.network.architecture import Architecture

    dataset, names, bases = arguments.dataset, arguments.architectures, arguments.constant_cost
    settings = dict(arguments.set)
    if dataset is None and not names and not bases:
        dataset = DEFAULT
    if preset := PRESETS.get(dataset or ""):
        dataset = preset.write_images(FOLDER / "images" / dataset)
        settings = {**preset.settings, **settings}
        if not names and not bases:
            names, bases = preset.architectures, preset.constant_cost
    # Refuses what training would refuse, input_size among it.
    size = Experiment.of(["resnet50"], None, **settings).input_size
    families = [at_constant_cost(Architecture.from_name(base), input_size=size) for base in bases]
    architectures = [*(one for family in families for one in family), *names]
    return Experiment.of(architectures, dataset, arguments.seeds, **settings)


def _stop_on_signals() -> threading.Event:
    """Set by Ctrl-C or a polite kill; the second one ends at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)
        print("\nstopping after this batch; the same command goes on", flush=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.cardinality", description=__doc__)
    parser.add_argument(
        "dataset",
        nargs="?",
        help=f"a folder with train/ and val/ of class folders, or {' or '.join(PRESETS)}, which need none; with "
        "architectures alone nothing is trained",
    )
    parser.add_argument("--architectures", nargs="+", default=[], metavar="NAME", help="such as resnext26_8x16d")
    parser.add_argument(
        "--constant-cost", nargs="+", default=[], metavar="NAME", help="this one and its like at cardinality 1 to 32"
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each architecture")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"timed forward passes of each way, after {WARM_ROUNDS} that do not count; default: %(default)s",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="parameters of training, such as epochs=5",
    )
    parser.add_argument(
        "--without", nargs="+", default=[], choices=("accuracy", "speed"), help="what not to measure now"
    )
    parser.add_argument("--output", type=Path, help="folder of the results")
    return parser.parse_args()


def _setting(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r}: expected key=value")
    return key, value


if __name__ == "__main__":
    main()
