from pathlib import Path

import pytest

import train_torchvision_resnext
from tests.image_folders import TINY, write_two_levels
from train_torchvision_resnext.parameters import Parameters, read_host_map
from train_torchvision_resnext.run.output_folder import output_folder_of
from train_torchvision_resnext.training import train

DEFAULT = Path(Parameters().output_folder).expanduser()
PLUGIN = Path(train_torchvision_resnext.__file__).parent


@pytest.mark.parametrize(
    "setting",
    [
        str(PLUGIN / "models"),
        str(PLUGIN.resolve()),
        str(PLUGIN / "data" / ".." / "models"),
        "~/Ikomia/Plugins/Python/train_torchvision_resnext/models/",
        "/home/someone/Ikomia/Plugins/Python/train_torchvision_resnext/models/",
        r"C:\Users\someone\Ikomia\Plugins\Python\train_torchvision_resnext\models",
        "~/Ikomia/Plugins/Python/another_plugin/runs",
    ],
    # The processes that share the tests have a home each, which must not be in a test's name.
    ids=["in it", "itself", "by a detour", "from home", "of a Mac or Linux", "of Windows", "another plugin"],
)
def test_no_run_is_written_where_an_update_deletes_it(setting):
    folder, (note,) = output_folder_of(setting)
    assert folder == DEFAULT
    assert note.startswith(f"output_folder = {setting!r} lies in the folder of a plugin")
    assert note.endswith(f"{DEFAULT} is used instead")


@pytest.mark.parametrize("setting", ["~/Ikomia/Training/resnext", "runs", "/data/Plugins/models"])
def test_other_folders_are_taken_as_they_are(setting):
    assert output_folder_of(setting) == (Path(setting).expanduser(), ())


def test_the_training_says_where_it_went_instead(tmp_path):
    images = write_two_levels(tmp_path / "images", {"train": 4, "val": 2}, 16, 16)
    result = train(images, read_host_map({**TINY, "epochs": "1", "output_folder": str(PLUGIN / "models")}))
    assert result.model_folder.is_relative_to(DEFAULT)
    assert any(note.startswith("output_folder = ") for note in result.notes)
    assert not (PLUGIN / "models").exists()
