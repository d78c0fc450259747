"""Which values of a file are black and white: the same in training, in the model folder and in inference."""

import csv

import numpy as np
import pytest
from ikomia.dataprocess.workflow import Workflow
from PIL import Image

from infer_torchvision_resnext.resnext.images.rgb import ImageError, ValueRange, dim_note, to_rgb
from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.model_folder import read_config
from train_torchvision_resnext.training import train

AUTO = ValueRange()
MINMAX = ValueRange("minmax")


@pytest.mark.parametrize(
    ("values", "value_range", "expected"),
    [
        (np.array([[0, 128, 255]], np.uint8), "auto", [0, 128, 255]),
        (np.array([[0, 128, 255]], np.uint8), "0,128", [0, 255, 255]),
        (np.array([[50, 75, 100]], np.uint8), "minmax", [0, 128, 255]),
        (np.array([[0, 4095, 65535]], np.uint16), "auto", [0, 16, 255]),
        (np.array([[0, 2048, 4095]], np.uint16), "0,4095", [0, 128, 255]),
        (np.array([[1000, 2000, 3000]], np.uint16), "minmax", [0, 128, 255]),
        (np.array([[7, 7, 7]], np.uint16), "minmax", [0, 0, 0]),
        (np.array([[0, 0.5, 1]], np.float32), "auto", [0, 128, 255]),
        (np.array([[-1000, -300, 400]], np.float32), "-1000,400", [0, 128, 255]),
        (np.array([[-1000, -300, 400]], np.int16), "-1000,400", [0, 128, 255]),
        (np.array([[-1000, -300, 400]], np.int16), "minmax", [0, 128, 255]),
    ],
)
def test_values_worked_out_by_hand(values, value_range, expected):
    found = to_rgb(values, ValueRange.parse(value_range))
    assert found.shape == (1, 3, 3)
    # 127.5 lies between two levels, and floating point on either side of it.
    np.testing.assert_allclose(found[0, :, 0].astype(int), expected, atol=1)
    assert np.array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize("text", ["", "none", "1,0", "5,5", "0", "0,1,2", "nan,1", "0,inf", "a,b"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError, match="must be auto, minmax, or low,high with low below high, such as 0,4095"):
        ValueRange.parse(text)


@pytest.mark.parametrize("text", ["auto", "minmax", "0,4095", "-1000,400", "0.25,0.75"])
def test_a_range_is_read_back_from_its_text(text):
    assert str(ValueRange.parse(text)) == text
    assert ValueRange.parse(str(ValueRange.parse(text))) == ValueRange.parse(text)


@pytest.mark.parametrize(
    ("image", "value_range", "note"),
    [
        (
            np.full((64, 64), 4095, np.uint16),
            AUTO,
            "4095, where 65535 is white; set value_range, for example to 0,4095",
        ),
        (np.full((64, 64), 13107, np.uint16), AUTO, ""),
        (np.full((64, 64), 13106, np.uint16), AUTO, "13106"),
        (np.full((64, 64), 50, np.uint8), AUTO, "50, where 255 is white"),
        (np.full((64, 64), 51, np.uint8), AUTO, ""),
        (np.full((64, 64), 0.1, np.float32), AUTO, "0.1, where 1 is white; set value_range to what is black and white"),
        (np.full((64, 64), 4095, np.uint16), MINMAX, ""),
        (np.full((64, 64), 4095, np.uint16), ValueRange.parse("0,4095"), ""),
    ],
)
def test_a_note_below_a_fifth_of_the_range(image, value_range, note):
    found = dim_note(image, value_range)
    assert (note in found) if note else (found == "")


def test_one_bright_pixel_is_found_wherever_it_is():
    image = np.zeros((300, 300), np.uint8)
    image[77, 201] = 255
    assert dim_note(image, AUTO) == ""


def test_without_a_range_what_cannot_be_told_is_refused_with_the_remedy():
    with pytest.raises(ImageError, match=r"int16: expected .*; or set value_range to what is black and white in it"):
        to_rgb(np.zeros((4, 4), np.int16))
    with pytest.raises(ImageError, match=r"values from 0 to 400: .*or set value_range to what is black"):
        to_rgb(np.linspace(0, 400, 16, dtype=np.float32).reshape(4, 4))


pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    """Digits of 12 bits in 16-bit files."""
    root = write_digits(tmp_path_factory.mktemp("xrays"), {"train": 10, "val": 5})
    for file in root.rglob("*.png"):
        with Image.open(file) as picture:
            pixels = np.asarray(picture).astype(np.uint16) * 16
        Image.fromarray(pixels).save(file)
    return root


def settings(folder, **values):
    return read_host_map({**TINY, "output_folder": str(folder), **values})


def test_training_says_what_it_wastes(xrays, tmp_path):
    result = train(xrays, settings(tmp_path, epochs="1"))
    (note,) = (note for note in result.notes if "range of values" in note)
    assert note.startswith("45 of 45 images leave most of their range of values unused; train/0/")
    assert "where 65535 is white; set value_range, for example to 0,4095 for 12 bits, or to minmax" in note
    again = train(xrays, settings(tmp_path, epochs="1"))
    assert note in again.notes, "what was found before is kept with the image"


@pytest.mark.parametrize("value_range", ["0,4095", "minmax"])
def test_a_range_goes_from_training_to_inference(value_range, xrays, tmp_path):
    result = train(xrays, settings(tmp_path, epochs="2", value_range=value_range))
    assert not [note for note in result.notes if "range of values" in note]
    assert str(read_config(result.model_folder).preprocessing.value_range) == value_range
    with (result.model_folder / "report" / "validation.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    workflow = Workflow()
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters(
        {
            "weights": str(result.model_folder),
            "device": "cpu",
            "runtime": "torch",
            "precision": "fp32",
            "top_k": 0,
            # So few validation images would reject more known images than that, which a note says.
            "unknown_sensitivity": 0,
        }
    )
    for row in table[:4]:
        workflow.run_on(path=str(xrays / row["file"]))
        output = task.get_output(4).data
        answer = output["predictions"][0]
        probability = float(row["calibrated_probability"])
        assert (answer["answer"], output["notes"]) == (row["predicted"], [])
        assert answer["probability"] == pytest.approx(probability, abs=1e-5)
        assert output["model"]["value_range"] == value_range
    # Asked for another one, it is another picture.
    task.set_parameters({"value_range": "0,65535"})
    workflow.run_on(path=str(xrays / row["file"]))
    (note,) = task.get_output(4).data["notes"]
    assert note.startswith("the image is nearly black: its brightest value is")
    assert task.get_output(4).data["predictions"][0]["probability"] != pytest.approx(probability, abs=1e-5)


def test_training_goes_on_from_a_folder_with_its_range(xrays, tmp_path):
    first = train(xrays, settings(tmp_path / "first", epochs="1", value_range="0,4095"))
    own = {"epochs": "1", "weights": str(first.model_folder), "layers": "", "cardinality": "0", "bottleneck_width": "0"}
    second = train(xrays, settings(tmp_path / "second", **own))
    assert str(read_config(second.model_folder).preprocessing.value_range) == "0,4095"
