"""Two thousand runs of one workflow: memory, threads, open files. `python -m benchmarks.soak [RUNS]`."""

import logging
import sys

import numpy as np
import psutil

from benchmarks.table import markdown
from examples.digits import sheet_of, training_and_held_out
from examples.ikomia_home import REPOSITORY, use_own_home

ROWS = 8
OBJECTS = 12


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    use_own_home()
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow()
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters({"weights": str(REPOSITORY / "examples" / "models" / "digits"), "device": "cpu"})
    sheet, _ = sheet_of(training_and_held_out()[1], 3, 4)
    frames = [np.ascontiguousarray(np.roll(sheet, shift, axis=1)) for shift in range(0, 4 * OBJECTS, 4)]
    process = psutil.Process()
    rows = []
    for number in range(runs + 1):
        if number % (runs // ROWS) == 0:
            rows.append(
                {
                    "runs": str(number),
                    "resident memory, MB": f"{process.memory_info().rss / 1e6:.0f}",
                    "threads": str(process.num_threads()),
                    "open files": str(process.num_fds() if hasattr(process, "num_fds") else process.num_handles()),
                }
            )
        workflow.run_on(array=frames[number % len(frames)])
        # Now and then what a user changes: batches of another size, another number format, back again.
        if number % 50 == 49:
            task.set_parameters({"input_size": str((0, 48)[number // 50 % 2]), "top_k": str(1 + number // 50 % 5)})
    print(markdown(rows))


if __name__ == "__main__":
    main()
