"""Pictures of both forms for the READMEs: as STUDIO's narrow dock shows them, and unfolded in a large window."""

import sys
from pathlib import Path

from examples.ikomia_home import REPOSITORY, use_own_home

IMAGES = REPOSITORY / "docs" / "images"
SMALL, LARGE = (320, 300), (560, 640)


def main(folder: Path) -> None:
    use_own_home()
    from tools.form_window import FormWindow, leave

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("infer", "train"):
        window = FormWindow(f"{name}_torchvision_resnext")
        window.picture(str(folder / f"{name}_form_small.png"), *SMALL)
        window.unfold()
        window.picture(str(folder / f"{name}_form.png"), *LARGE)
    # What is wrong is said in the form.
    window = FormWindow("train_torchvision_resnext")
    window.type_text("weights", "models/lost")
    window.type_text("learning_rate", "fast")
    window.choose("optimizer", "sgd")
    window.type_text("momentum", "5")
    window.apply()
    window.picture(str(folder / "train_form_problems.png"), *LARGE)
    # What a saved workflow holds and is refused is shown, too.
    from train_torchvision_resnext.train_torchvision_resnext_process import TrainResNeXtParam

    saved = TrainResNeXtParam()
    saved.set_values({"model_name": "resnet18", "input_size": "8", "epochs": "many", "optimizer": "lion"})
    window = FormWindow("train_torchvision_resnext", saved)
    window.picture(str(folder / "train_form_saved.png"), *LARGE)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
