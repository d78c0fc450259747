"""Try each package as a user gets it: unzipped into an empty Ikomia home, with its own requirements and nothing else.

Makes a fresh virtual environment for each plugin with Ikomia and the package's `requirements.txt`, checks it, adds the
task to a workflow and runs it: inference on handwritten digits with the small model of this repository, training for
an epoch on some of them. Installs torch twice, which takes minutes and a connection. Run with
`python -m tools.try_packages [PLUGIN ...]`.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from examples.digits import Digits, training_and_held_out, write_class_folders
from tools.package import REPOSITORY, package

PREPARE = """
import sys
from pathlib import Path
import ikomia
from ikomia.core import IODataType, config
from ikomia.dataprocess import CPathIO
from ikomia.dataprocess.workflow import Workflow
# No servers for the sake of a trial.
config.main_cfg["mlflow"]["tracking_uri"] = Path(config.main_cfg["mlflow"]["store_uri"]).as_uri()
config.main_cfg["tensorboard"]["tracking_uri"] = ""
pictures = Path(sys.argv[1])
wf = Workflow()
"""

INFER = """
task = wf.add_task(name="infer_torchvision_resnext", auto_connect=True)
task.set_parameters({"weights": sys.argv[2]})
answers = []
for picture in sorted(pictures.rglob("*.png")):
    wf.run_on(path=str(picture))
    answers.append((picture.parent.name, task.get_whole_image_results()[0][0]))
right = sum(digit == answer for digit, answer in answers)
print(f"{right} of {len(answers)} digits right, computed by {task.get_output(4).data['runtime']['name']}")
sys.exit(right < 0.9 * len(answers))
"""

TRAIN = """
wf.set_directory_input(folder=str(pictures))
task = wf.add_task(name="train_torchvision_resnext")
wf.connect_tasks(wf.root(), task, [(0, 0)])
small = {"weights": "none", "layers": "1,1", "cardinality": 4, "bottleneck_width": 4, "input_size": 32}
task.set_parameters({**small, "epochs": 1, "batch_size": 8, "export_onnx": True, "output_folder": str(Path.home())})
wf.run()
results, model = task.get_output(1).data, Path(task.get_output(0).get_path())
print(f"{len(results['history'])} epoch, the model folder holds {sorted(path.name for path in model.iterdir())}")
wanted = {"config.json", "model.safetensors", "model.onnx", "classes.txt"}
sys.exit(not wanted <= {path.name for path in model.iterdir()})
"""

TRIALS = {"infer_torchvision_resnext": PREPARE + INFER, "train_torchvision_resnext": PREPARE + TRAIN}


class Trial:
    """A user who has one plugin: a home, an environment, some pictures."""

    def __init__(self, plugin: str, folder: Path) -> None:
        self._plugin, self._folder = plugin, folder
        self._home, self._pictures = folder / "home", folder / "pictures"
        scripts = "Scripts" if sys.platform == "win32" else "bin"
        self._python = folder / "venv" / scripts / "python"

    def install(self) -> None:
        """Unzip the package, install what it requires. Raises: CalledProcessError."""
        installed = self._home / "Ikomia" / "Plugins" / "Python"
        installed.mkdir(parents=True)
        with zipfile.ZipFile(package(self._plugin)) as archive:
            archive.extractall(installed)
        print(f"{self._plugin}: {len(archive.namelist())} files unzipped", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(self._folder / "venv")], check=True)
        requirements = installed / self._plugin / "requirements.txt"
        self._pip("install", "--quiet", "--upgrade", "pip")
        # export_onnx, which the trial uses, asks for onnxruntime.
        self._pip("install", "--quiet", "ikomia", "onnxruntime", "-r", str(requirements))
        self._pip("check")

    def run(self) -> None:
        """Add the task to a workflow and run it. Raises: CalledProcessError."""
        held_out = training_and_held_out()[1]
        write_class_folders(Digits(held_out.images[:60], held_out.digits[:60]), self._pictures)
        model = REPOSITORY / "examples" / "models" / "digits"
        environment = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            "HOME": str(self._home),
            "USERPROFILE": str(self._home),
            "IKOMIA_AUTO_COMPLETION": "False",
        }
        command = [str(self._python), "-c", TRIALS[self._plugin], str(self._pictures), str(model)]
        subprocess.run(command, env=environment, cwd=self._home, check=True)

    def _pip(self, *arguments: str) -> None:
        print(f"$ pip {' '.join(arguments).replace(str(self._home), '~')}", flush=True)
        subprocess.run([str(self._python), "-m", "pip", *arguments], check=True)


def main() -> None:
    for plugin in sys.argv[1:] or TRIALS:
        with tempfile.TemporaryDirectory(prefix="package-") as scratch:
            trial = Trial(plugin, Path(scratch))
            trial.install()
            trial.run()
            print(f"{plugin}: works by itself", flush=True)


if __name__ == "__main__":
    main()
