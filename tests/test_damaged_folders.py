"""A model folder that would answer otherwise than in training is refused, and the cause is named."""

import re
import shutil

import pytest

from benchmarks.damaged_folders import DAMAGES, MODEL_FOLDER
from examples.digits import training_and_held_out

BUT_WAS = r" in the folder's config\.json, but was {} when golden\.safetensors was made; put it back as it was, or tr"
WEIGHTS = r"does not give in fp32 what training saw: .* 32 golden images.*, allowed is 0\.001\. The weights are not th"
CAUSES = {
    "resize_size 64": "resize_size is 64" + BUT_WAS.format("37"),
    "crop_size 28": "crop_size is 28" + BUT_WAS.format("32"),
    "mean 0.5": r"mean is \[0\.5, 0\.5, 0\.5\]" + BUT_WAS.format(r"\[0\.485, 0\.456, 0\.406\]"),
    "std 0.5": r"std is \[0\.5, 0\.5, 0\.5\]" + BUT_WAS.format(r"\[0\.229, 0\.224, 0\.225\]"),
    "labels rotated by one": r"label_names is \['1', .*, '9', '0'\]" + BUT_WAS.format(r"\['0', '1', .*, '9'\]"),
    "temperature 3": r"temperature is 3\.0" + BUT_WAS.format(r"[\d.]+"),
    "calibration removed": "temperature is None" + BUT_WAS.format(r"[\d.]+"),
    "costs added": "costs is '[0-9a-f]{16}'" + BUT_WAS.format("None"),
    "interpolation bicubic": r"pretrained_cfg\.interpolation: Input should be 'bilinear'",
    "value_range 0,15": "value_range is '0,15'" + BUT_WAS.format("'auto'"),
    "evidence of another training": r"trust\.safetensors is not what it was when golden\.safetensors was made; put it",
    "evidence removed": r"trust\.safetensors is missing, but was there when golden\.safetensors was made; put it back",
    "one bias raised by 0.5": WEIGHTS,
    "channels in the order BGR": WEIGHTS,
    "one filter zeroed": WEIGHTS,
}


def test_each_damage_has_its_cause():
    assert CAUSES.keys() == DAMAGES.keys()


@pytest.mark.parametrize("what", DAMAGES)
@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_a_damaged_folder_is_refused_with_the_cause(what, runtime, workflow, tmp_path):
    folder = shutil.copytree(MODEL_FOLDER, tmp_path / "digits")
    digit = training_and_held_out()[1].images[0]
    wf, task = workflow
    task.set_parameters({"weights": str(folder), "device": "cpu", "runtime": runtime})
    wf.run_on(array=digit)
    DAMAGES[what](folder)
    with pytest.raises(RuntimeError) as refusal:
        wf.run_on(array=digit)
    # The host wraps errors in their repr, and escapes quotes with them.
    assert re.search(CAUSES[what], str(refusal.value).replace("\\'", "'"))
    assert not task.get_output(4).data
