"""Workflow files with values that are refused today open, are kept, and say at the run what is wrong."""

import json
import os
from pathlib import Path

import pytest
import torch
from ikomia.dataprocess.workflow import Workflow
from torchvision.models import get_model_weights

from benchmarks.random_weights import file_of, write_stand_in
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from tests.image_folders import write_two_levels
from tests.inference_output import result
from tests.old_workflows import write_old_workflow
from tests.workflow_files import FILES, INFER, PLUGINS, TRAIN

REFUSED = [file for file in FILES if file.problems]
RUNNING = [file for file in FILES if not file.problems]

pytestmark = pytest.mark.usefixtures("only_torch")


@pytest.fixture
def only_torch(monkeypatch):
    """All that `auto` may take: for other runtimes, large networks take long to convert."""
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.candidates.ON_CPU", {"torch": ("fp32",)})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A state dict of two classes and their names."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    torch.save(Architecture.from_name("resnext50").build(2).state_dict(), folder / "resnext50.pth")
    (folder / "classes.txt").write_bytes(b"ant\r\nbee\r\n")
    return folder


def opened(path, plugin):
    wf = Workflow()
    wf.load(str(path))
    return wf, wf.find_task(plugin, 0)


def saved_values(path):
    (task,) = json.loads(Path(path).read_text(encoding="utf-8"))["tasks"]
    return {entry["name"]: entry["value"] for entry in task["task_data"]["parameters"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_of_the_earlier_pair_opens_and_is_saved(file, models, tmp_path):
    _, task = opened(file.write(tmp_path, models, tmp_path / "runs"), file.plugin)
    wf, task = opened(tmp_path / f"{file.name}.json", file.plugin)
    wf.save(str(tmp_path / "again.json"))
    written = saved_values(tmp_path / "again.json")
    assert written == dict(task.get_parameters())
    given = file.filled(models, tmp_path / "runs")
    if file.problems:
        assert {key: written[key] for key in given} == given
    _, again = opened(tmp_path / "again.json", file.plugin)
    assert again.get_parameters() == task.get_parameters()


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.name)
def test_a_run_with_refused_values_names_all_of_them(file, models, tmp_path, photos):
    wf, task = opened(file.write(tmp_path, models, tmp_path / "runs"), file.plugin)
    with pytest.raises(ValueError, match=" = ") as told:
        _ = task.get_param_object().parameters
    assert len(told.value.problems) == len(file.problems)
    with pytest.raises(RuntimeError) as raised:
        run(wf, file, tmp_path, photos)
    assert all(problem in str(raised.value) for problem in file.problems)


@pytest.mark.parametrize("file", RUNNING, ids=lambda file: file.name)
def test_each_file_with_accepted_values_runs(file, models, tmp_path, photos, imagenet_cache):
    if file.heavy and not os.environ.get("HEAVY_WORKFLOWS"):
        pytest.skip("takes a minute; set HEAVY_WORKFLOWS")
    if file.values["model_name"] == "resnext101":
        write_resnext101()
    wf, task = opened(file.write(tmp_path, models, tmp_path / "runs"), file.plugin)
    run(wf, file, tmp_path, photos)
    if file.plugin == INFER:
        labels = {label for label, _ in task.get_whole_image_results()}
        assert labels == {"ant", "bee"} if "custom" in file.name else len(labels) == 1000
        assert result(task)["model"]["crop_size"] == int(file.values["input_size"])
        return
    model = Path(task.get_output(0).get_path())
    assert (model / "config.json").is_file()
    where = tmp_path / "runs" if file.values["output_folder"] == "{output}" else Path.home() / "Ikomia" / "Training"
    assert model.is_relative_to(where)
    moved = [note for note in task.get_output(1).data["notes"] if note.startswith("output_folder = ")]
    assert bool(moved) == (file.values["output_folder"] != "{output}")


def write_resnext101():
    """Random weights where torch hub would keep the published ones."""
    for weights in get_model_weights("resnext101_32x8d"):
        hub = Path(os.environ["TORCH_HOME"]) / "hub"
        if not file_of(weights, hub).is_file():
            write_stand_in("resnext101_32x8d", weights, hub)


def run(wf, file, tmp_path, photos):
    if file.plugin == INFER:
        wf.run_on(array=photos[0])
        return
    wf.set_directory_input(folder=str(write_two_levels(tmp_path / "images", {"train": 2, "val": 1})))
    wf.run()


def test_other_tasks_of_the_file_and_valid_values_are_not_lost(tmp_path, tiny_folder, photos):
    path = tmp_path / "two.json"
    write_old_workflow(path, INFER, {"top_k": "2", "input_size": "-5", "region": "image"}, ["IMAGE"])
    content = json.loads(path.read_text(encoding="utf-8"))
    wf = Workflow()
    task = wf.add_task(name=INFER, auto_connect=True)
    task.set_parameters({"weights": str(tiny_folder), "device": "cpu"})
    wf.save(str(tmp_path / "other.json"))
    other = json.loads((tmp_path / "other.json").read_text(encoding="utf-8"))["tasks"][0]
    content["tasks"].append({**other, "task_id": 1})
    content["connections"].append({"source_id": -1, "source_index": 0, "target_id": 1, "target_index": 0})
    path.write_text(json.dumps(content), encoding="utf-8")
    both = Workflow()
    both.load(str(path))
    first, second = both.find_task(INFER)
    assert (first.get_parameters()["input_size"], first.get_parameters()["top_k"]) == ("-5", "2")
    assert second.get_parameters()["weights"] == str(tiny_folder)
    first.set_parameters({"input_size": "0", "weights": str(tiny_folder), "device": "cpu"})
    both.run_on(array=photos[0])
    assert len(first.get_whole_image_results()) == 2


def test_a_file_of_a_later_version_opens_with_its_values(tmp_path, tiny_folder, photos):
    """The host drops keys that are not known here; values that are not known are kept, and named at the run."""
    wf = Workflow()
    task = wf.add_task(name=INFER, auto_connect=True)
    wf.save(str(tmp_path / "ours.json"))
    content = json.loads((tmp_path / "ours.json").read_text(encoding="utf-8"))
    entries = content["tasks"][0]["task_data"]["parameters"]
    later = {"weights": str(tiny_folder), "precision": "fp4", "runtime": "npu", "top_k": "-3"}
    for entry in entries:
        entry["value"] = later.get(entry["name"], entry["value"])
    entries.append({"name": "framing", "value": "letterbox"})
    (tmp_path / "later.json").write_text(json.dumps(content), encoding="utf-8")
    wf, task = opened(tmp_path / "later.json", INFER)
    assert {key: task.get_parameters()[key] for key in later} == later
    with pytest.raises(RuntimeError) as raised:
        wf.run_on(array=photos[0])
    for problem in ("top_k = '-3'", "runtime = 'npu'", "precision = 'fp4'"):
        assert problem in str(raised.value)
    wf.save(str(tmp_path / "again.json"))
    assert saved_values(tmp_path / "again.json") == dict(task.get_parameters())
    before = task.get_parameters()
    with pytest.raises(ParameterError) as told:
        task.set_parameters({"top_k": "3", "precision": "fp32"})
    assert len(told.value.problems) == 1
    assert task.get_parameters() == before
    task.set_parameters({"top_k": "3", "precision": "fp32", "runtime": "torch", "device": "cpu"})
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 3


def test_weights_set_in_python_replace_what_an_old_file_left_open(models, tmp_path):
    (file,) = (file for file in REFUSED if file.name == "infer_custom_no_path")
    for values in ({"weights": "own.pth"}, {"model_path": "own.pth"}, {"model_weight_file": "own.pth"}):
        _, task = opened(file.write(tmp_path, models, tmp_path), INFER)
        task.set_parameters(values)
        assert task.get_parameters()["weights"] == "own.pth"
        assert (task.get_parameters()["dataset"], task.get_parameters()["top_k"]) == ("", "0")


def test_a_copied_task_has_the_refused_values_too(models, tmp_path):
    from ikomia.dataprocess.registry import ik_registry

    (file,) = (file for file in REFUSED if file.name == "train_resnet18")
    _, task = opened(file.write(tmp_path, models, tmp_path), TRAIN)
    copy = ik_registry.create_algorithm(TRAIN, task.get_param_object())
    assert copy.get_parameters() == task.get_parameters()
    assert copy.get_parameters()["output_folder"].startswith(PLUGINS)
