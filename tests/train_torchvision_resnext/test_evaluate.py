import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.data.folders import DatasetError
from train_torchvision_resnext.evaluate import main
from train_torchvision_resnext.evaluated_model import describe, evaluate
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.model_folder import ModelFolderError
from train_torchvision_resnext.training import train


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 12, "val": 8, "test": 7})


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    """Of the digits 0, 1 and 2."""
    folder = tmp_path_factory.mktemp("runs")
    return train(digits, read_host_map({**TINY, "output_folder": str(folder)})).model_folder


def rows_of(table):
    with table.open(encoding="utf-8", newline="") as stream:
        return {row["file"].rpartition("/")[2]: row for row in csv.DictReader(stream)}


@pytest.mark.parametrize(("part", "table"), [("", "test.csv"), ("test", "test.csv"), ("val", "validation.csv")])
def test_it_answers_as_the_training_did(model, digits, part, table):
    evaluated = evaluate(model.parent, digits, "cpu", part)
    expected = rows_of(model / "report" / table)
    assert len(evaluated.answers.samples) == len(expected)
    for sample, predicted, row in zip(
        evaluated.answers.samples, evaluated.answers.predicted, evaluated.answers.probabilities, strict=True
    ):
        trained = expected[sample.path.name]
        assert evaluated.answers.labels[predicted] == trained["predicted"]
        assert row[predicted] == pytest.approx(float(trained["calibrated_probability"]), abs=1e-5)
        assert sample.content_hash == trained["content"]
    assert f"{table.removesuffix('.csv')[:3]}" in evaluated.notes[0]


def test_what_the_model_does_not_know_is_left_out_and_what_is_missing_is_named(model, digits, tmp_path):
    folder = tmp_path / "labeled"
    for label in ("0", "1"):
        shutil.copytree(digits / "test" / label, folder / label)
    shutil.copytree(digits / "test" / "2", folder / "nine")
    (folder / "0" / "broken.png").write_bytes(b"no image")
    evaluated = evaluate(model, folder, "cpu")
    assert len(evaluated.answers.samples) == 14
    assert evaluated.answers.labels == ("0", "1", "2")
    assert evaluated.images.missing == ("2",)
    notes = "\n".join(evaluated.notes)
    assert "left out 7 images of classes that the model does not know: nine" in notes
    assert "left out 1 image that cannot be read: 0/broken.png (" in notes
    assert "1 of 3 classes of the model have no image here: 2" in notes


def test_the_command_writes_the_report_of_a_training(model, digits, tmp_path, capsys):
    output = tmp_path / "new" / "evaluation"
    arguments = [str(model), str(digits / "test"), "--device", "cpu", "--output", str(output)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    evaluated = evaluate(model, digits / "test", "cpu")
    assert f"{describe(evaluated)}; the report is {output / 'report.html'}" in printed
    assert {"report.html", "confusion_matrix.png", "worst_mistakes.png", "answers.csv", "metrics.json"} <= {
        path.name for path in output.iterdir()
    }
    assert not (output / "learning_curves.png").exists()
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["evaluation"] == json.loads(json.dumps(evaluated.answers.evaluation.to_dict()))
    assert len(rows_of(output / "answers.csv")) == 21
    before = (output / "metrics.json").read_bytes()
    assert main(arguments) == 1
    assert f"{output} exists: set --output to a new folder" in capsys.readouterr().err
    assert (output / "metrics.json").read_bytes() == before


def test_what_cannot_be_judged_is_refused_with_the_cause(model, digits, tmp_path, capsys):
    assert main([str(tmp_path / "gone"), str(digits)]) == 1
    assert f"{tmp_path / 'gone'}: there is no such folder" in capsys.readouterr().err
    (tmp_path / "others" / "ant").mkdir(parents=True)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "others" / "ant" / "a.png")
    with pytest.raises(DatasetError, match="has no class of the model: it has ant, the model knows 0, 1, 2"):
        evaluate(model, tmp_path / "others", "cpu")
    changed = shutil.copytree(model, tmp_path / "changed")
    config = json.loads((changed / "config.json").read_text(encoding="utf-8"))
    config["label_names"] = ["2", "1", "0"]
    (changed / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelFolderError, match=r"label_names.*put it back as it was"):
        evaluate(changed, digits, "cpu")
