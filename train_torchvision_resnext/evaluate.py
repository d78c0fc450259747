"""How good a model is on labeled images: `python -m train_torchvision_resnext evaluate MODEL FOLDER`.

Any model folder on any folder of class folders, with the report of a training. Classes are matched by name. The figures
are honest only if the model was not trained on these images.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .parameters.task import Parameters
from .resnext.host.streams import escape_unencodable_output
from .resnext.images.opencv import import_ikomia


def new_output() -> Path:
    """A folder for one evaluation, beside the runs."""
    runs = Path(Parameters.model_fields["output_folder"].default).expanduser()
    return runs / "evaluations" / time.strftime("%Y%m%d-%H%M%S")


def main(arguments: Sequence[str]) -> int:
    """Evaluate. Returns: the exit status, 1 where something stands in the way."""
    parser = argparse.ArgumentParser(prog="python -m train_torchvision_resnext evaluate", description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder, or the folder of a run")
    parser.add_argument("folder", type=Path, help="a folder of class folders, or a dataset with parts")
    parser.add_argument(
        "--part", choices=("train", "val", "test"), default="", help="part of the dataset (default: test, else val)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--output", type=Path, help="new folder for the report (default: beside the runs)")
    options = parser.parse_args(arguments)
    import_ikomia()

    from .evaluated_model import UNUSABLE, describe, evaluate, write_evaluation

    try:
        evaluated = evaluate(options.model, options.folder, options.device, options.part)
        page = write_evaluation(options.output or new_output(), evaluated)
    except UNUSABLE as error:
        print(error, file=sys.stderr)
        return 1
    for note in evaluated.notes:
        print(note)
    print(f"{describe(evaluated)}; the report is {page}")
    return 0


if __name__ == "__main__":
    escape_unencodable_output()
    sys.exit(main(sys.argv[1:]))
