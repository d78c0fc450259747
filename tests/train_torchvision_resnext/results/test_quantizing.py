import json
import shutil
import sys

import pytest

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.run.progress import TRAINED, Listener, TrainingError
from train_torchvision_resnext.training import train

INT8 = ["int8.bin", "int8.json", "int8.xml"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 20, "val": 5})


def settings(folder, **values):
    recipe = {**TINY, "horizontal_flip": "False", "quantize": "True", "output_folder": str(folder)}
    return read_host_map({**recipe, **{key: str(value) for key, value in values.items()}})


def metrics_of(result):
    return json.loads((result.model_folder / "metrics.json").read_text(encoding="utf-8"))


def report_of(result):
    return (result.model_folder / "report" / "report.html").read_text(encoding="utf-8")


def test_the_int8_network_is_kept_and_both_accuracies_are_told(digits, tmp_path):
    pytest.importorskip("nncf")
    progress = []
    # Whatever it costs is allowed here: that is up to the processor.
    parameters = settings(tmp_path, epochs=6, quantize_max_drop=1)
    result = train(digits, parameters, Listener(progress=progress.append))
    assert sorted(path.name for path in (result.model_folder / "openvino").iterdir()) == INT8
    cost = metrics_of(result)["int8"]
    assert cost == json.loads((result.model_folder / "openvino" / "int8.json").read_text())
    assert (cost["fp32_accuracy"], cost["images"], cost["kept"]) == (result.evaluation.top1, 15, True)
    assert cost["int8_accuracy"] * 15 == pytest.approx(round(cost["int8_accuracy"] * 15))
    # As good as guessing would be 1 / 3.
    assert cost["int8_accuracy"] > 0.5
    assert 0 <= cost["fp32_unknown"] <= cost["int8_unknown"] + 0.1
    page = report_of(result)
    assert "<h2>What int8 costs</h2>" in page
    for name in ("accuracy", "calibration error", "unknown"):
        exact, rounded = (100 * cost[f"{precision}_{name.replace(' ', '_')}"] for precision in ("fp32", "int8"))
        assert f"<tr><td>{name}</td><td>{exact:.2f} % in fp32, {rounded:.2f} % in int8</td></tr>" in page
    assert any(note.startswith("int8: fp32 ") and note.endswith(" right on 15 images: kept") for note in result.notes)
    # A step for each of the 60 images to calibrate on and each of the 2 batches to measure on.
    assert progress == sorted(progress)
    assert len({done for done in progress if TRAINED < done <= 1}) == 60 + 2


def test_beyond_the_drop_it_is_left_out_and_the_report_says_why(digits, tmp_path):
    pytest.importorskip("nncf")
    # Better by a whole is what no network can be; the schema would not let it through.
    parameters = settings(tmp_path, epochs=1).model_copy(update={"quantize_max_drop": -1.0})
    result = train(digits, parameters)
    assert not (result.model_folder / "openvino").exists()
    cost = metrics_of(result)["int8"]
    assert not cost["kept"]
    assert len(cost["worse"]) == 3
    assert "The int8 network is not kept: its accuracy is " in report_of(result)
    assert any("not kept; its accuracy is " in note for note in result.notes)


def test_what_is_not_installed_is_told_before_anything_else_with_all_other_problems(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    rows = []
    with pytest.raises(TrainingError) as caught:
        train(digits, settings(tmp_path / "runs", device="cuda:9"), Listener(epoch=rows.append))
    first, second = caught.value.problems
    assert "device = 'cuda:9'" in first
    assert second.startswith("quantize = True: quantization needs the packages nncf and openvino")
    assert second.endswith("run pip install nncf openvino, or set quantize to False")
    assert not rows
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".images.json"]


def test_stop_while_quantizing_leaves_the_finished_model_without_it(digits, tmp_path):
    pytest.importorskip("nncf")
    progress = []
    listener = Listener(progress=progress.append, stop_requested=lambda: progress[-1] > TRAINED + 0.01)
    result = train(digits, settings(tmp_path, epochs=1), listener)
    assert not result.stopped
    assert len(result.history) == 1
    assert not (result.model_folder / "openvino").exists()
    assert metrics_of(result)["int8"] is None
    assert "<h2>What int8 costs</h2>" not in report_of(result)
    assert any(note.startswith("stopped while quantizing") for note in result.notes)
    assert sorted(path.name for path in result.model_folder.parent.iterdir()) == ["epochs", "model", "run.json"]
    assert max(done for done in progress if done < 1) < TRAINED + 0.02


@pytest.mark.usefixtures("no_report")
def test_a_training_that_was_stopped_is_not_quantized(digits, tmp_path):
    pytest.importorskip("nncf")
    rows = []
    listener = Listener(epoch=rows.append, stop_requested=lambda: bool(rows))
    result = train(digits, settings(tmp_path), listener)
    assert result.stopped
    assert not (result.model_folder / "openvino").exists()
    assert any(note.startswith("stopped, and therefore not quantized") for note in result.notes)


@pytest.mark.usefixtures("no_report")
def test_what_fails_while_quantizing_does_not_cost_the_model(digits, tmp_path):
    pytest.importorskip("nncf")
    root = shutil.copytree(digits, tmp_path / "data")

    def remove(row):
        next((root / "train" / "0").iterdir()).unlink()

    result = train(root, settings(tmp_path / "runs", epochs=1), Listener(epoch=remove))
    assert (result.model_folder / "model.safetensors").is_file()
    assert not list(result.model_folder.glob("*openvino*"))
    (note,) = (note for note in result.notes if note.startswith("there is no int8 network, for quantizing failed"))
    assert "now cannot" in note
