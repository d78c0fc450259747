"""Twenty workflow files that the HUB's earlier pair of plugins can save, in its keys and its ranges of values."""

from dataclasses import dataclass
from pathlib import Path

from tests.old_workflows import write_old_workflow

INFER, TRAIN = "infer_torchvision_resnext", "train_torchvision_resnext"
PLUGINS = "/home/someone/Ikomia/Plugins/Python"
"""On the machine that saved the file."""

IMAGENET = {
    "model_name": "resnext50",
    "dataset": "ImageNet",
    "model_path": "",
    "class_file": f"{PLUGINS}/{INFER}/models/imagenet_classes.txt",
    "input_size": "64",
}
CUSTOM = {**IMAGENET, "dataset": "Custom", "model_path": "{models}/resnext50.pth", "class_file": "{models}/classes.txt"}
TUNING = {
    "model_name": "resnext50",
    "batch_size": "2",
    "epochs": "1",
    "learning_rate": "0.001",
    "momentum": "0.9",
    "weight_decay": "0.0001",
    "num_workers": "0",
    "input_size": "32",
    "use_pretrained": "True",
    "feature_extract": "True",
    "export_pth": "False",
    "export_onnx": "False",
    "output_folder": f"{PLUGINS}/{TRAIN}/models/",
}


@dataclass(frozen=True)
class SavedFile:
    """One file.

    Attributes:
        values: `{models}` stands for a folder of a state dict of two classes and their names, `{output}` for one that
            can be written.
        problems: the beginning of each sentence that a run answers with; empty if it runs.
        heavy: whether it takes long to run.
    """

    name: str
    plugin: str
    values: dict[str, str]
    problems: tuple[str, ...] = ()
    heavy: bool = False

    def filled(self, models: Path, output: Path) -> dict[str, str]:
        """The values with the folders of this machine."""
        return {key: value.format(models=models, output=output) for key, value in self.values.items()}

    def write(self, folder: Path, models: Path, output: Path) -> str:
        """Returns: the path, as the host wants it."""
        if self.plugin == INFER:
            inputs = ["IMAGE", "INPUT_GRAPHICS"]
            outputs = ["IMAGE", "OBJECT_DETECTION", "OUTPUT_GRAPHICS", "NUMERIC_VALUES"]
        else:
            inputs, outputs = ["FOLDER_PATH"], []
        path = folder / f"{self.name}.json"
        return write_old_workflow(path, self.plugin, self.filled(models, output), inputs, outputs)


def _inference(name: str, base: dict[str, str], *problems: str, heavy: bool = False, **values: str) -> SavedFile:
    return SavedFile(f"infer_{name}", INFER, {**base, **values}, problems, heavy)


def _training(name: str, *problems: str, heavy: bool = True, **values: str) -> SavedFile:
    return SavedFile(f"train_{name}", TRAIN, {**TUNING, **values}, problems, heavy)


STEADY = {"batch_size": "4", "input_size": "64", "learning_rate": "0.00001"}
"""Batch normalization over two values diverges when all of a network is trained."""

RESNET18 = "model_name = 'resnet18': 'resnet18' is not a member of the family"

FILES = (
    _inference("as_installed", IMAGENET, input_size="224"),
    _inference("imagenet_small", IMAGENET),
    _inference("imagenet_one_pixel", IMAGENET, input_size="1"),
    _inference("imagenet_101", IMAGENET, model_name="resnext101", heavy=True),
    _inference("imagenet_path_left", IMAGENET, model_path="/gone/resnext50.pth"),
    _inference("imagenet_no_class_file", IMAGENET, class_file="", heavy=True),
    _inference("custom", CUSTOM),
    _inference("custom_large", CUSTOM, input_size="256", heavy=True),
    _inference("custom_class_file_beside", CUSTOM, class_file=""),
    _inference("custom_no_path", CUSTOM, "model_path = '': dataset=Custom", "weights = ''", model_path=""),
    _training("as_installed", heavy=False),
    _training("own_folder", output_folder="{output}"),
    _training("fine_tuned", feature_extract="False", output_folder="{output}", **STEADY),
    _training(
        "scratch",
        use_pretrained="False",
        feature_extract="False",
        export_pth="True",
        output_folder="{output}",
        **STEADY,
    ),
    _training("101", model_name="resnext101"),
    _training("onnx", export_onnx="True", momentum="0", weight_decay="0", learning_rate="0.1"),
    _training("resnet18", RESNET18, model_name="resnet18"),
    _training("scratch_frozen", "feature_extract = True without weights", use_pretrained="False"),
    _training("input_size_8", "input_size = '8': must be an integer from 16", input_size="8"),
    _training("resnet18_input_size_8", RESNET18, "input_size = '8'", model_name="resnet18", input_size="8"),
)
