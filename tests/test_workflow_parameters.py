"""Parameters of the inference task in real workflows: set, refused, saved, loaded, and those of the earlier plugin."""

import pytest
import torch
from ikomia import core, dataprocess
from ikomia.dataprocess.workflow import Workflow

from infer_torchvision_resnext.drawing.annotation import color_of
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from tests.inference_output import NAME, result, table
from tests.old_workflows import write_old_workflow


def test_parameters_are_merged_and_take_effect_in_the_next_run(tiny, photos):
    wf, task = tiny
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 3
    task.set_parameters({"top_k": 1})
    task.set_parameters({"input_size": "64"})
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 1
    assert result(task)["model"]["crop_size"] == 64
    wf.set_parameters({"confidence_threshold": 1, "top_k": 2}, task_name=NAME)
    wf.run_on(array=photos[0])
    unknown, *candidates = task.get_whole_image_results()
    assert unknown == ("unknown", "")
    assert [label for label, _ in candidates] == list(table(result(task)["predictions"][0]))
    assert len(candidates) == 2
    assert "unknown" in task.get_output(2).get_items()[0].text


def test_misspelled_keys_and_wrong_values_are_refused_all_at_once_and_change_nothing(tiny):
    wf, task = tiny
    before = task.get_parameters()
    for set_parameters in (task.set_parameters, lambda values: wf.set_parameters(values, task_name=NAME)):
        with pytest.raises(ParameterError) as caught:
            set_parameters({"modl_name": "resnext50", "top_k": "-1", "precision": "int4"})
        assert list(caught.value.problems) == [
            "'modl_name' is not a parameter: did you mean 'model_name'?",
            "top_k = '-1': must be an integer from 0 to 100000",
            "precision = 'int4': must be one of auto, fp32, bf16, fp16, int8",
        ]
    assert task.get_parameters() == before


def test_parameters_can_be_given_at_creation(tiny_folder, photos):
    wf = Workflow()
    task = wf.add_task(name=NAME, params={"weights": str(tiny_folder), "top_k": "2"}, auto_connect=True)
    wf.run_on(array=photos[0])
    assert len(task.get_whole_image_results()) == 2
    with pytest.raises(RuntimeError, match="top_k = 'many': must be an integer from 0"):
        wf.add_task(name=NAME, params={"top_k": "many"})


@pytest.mark.parametrize("key", ["model_weight_file", "model_path"])
def test_weights_may_be_named_as_other_plugins_name_them(key, tiny_folder, photos):
    wf = Workflow()
    created = wf.add_task(name=NAME, params={key: str(tiny_folder)})
    assert created.get_parameters()["weights"] == str(tiny_folder)
    task = wf.add_task(name=NAME, auto_connect=True)
    # What was set before by our key does not stand against it.
    task.set_parameters({"weights": "other.pth"})
    task.set_parameters({key: str(tiny_folder)})
    assert task.get_parameters()["weights"] == str(tiny_folder)


def test_keys_of_other_plugins_reach_a_task_at_its_creation():
    wf = Workflow()
    assert wf.add_task(name=NAME, params={"cuda": "False"}).get_parameters()["device"] == "cpu"
    with pytest.raises(RuntimeError, match="did you mean 'confidence_threshold'"):
        wf.add_task(name=NAME, params={"conf_thres": "0.5"})
    train = "train_torchvision_resnext"
    assert wf.add_task(name=train, params={"lr0": "0.02"}).get_parameters()["learning_rate"] == "0.02"
    with pytest.raises(RuntimeError, match="did you mean 'val_fraction'"):
        wf.add_task(name=train, params={"dataset_split_ratio": "0.8"})


def test_our_workflow_files_survive_save_load_run(tiny, photos, tmp_path):
    wf, task = tiny
    task.set_parameters({"top_k": "2", "confidence_threshold": "0.25", "input_size": "48"})
    wf.run_on(array=photos[0])
    expected = result(task)
    wf.save(str(tmp_path / "wf.json"))
    loaded = Workflow()
    loaded.load(str(tmp_path / "wf.json"))
    again = loaded.find_task(NAME, 0)
    assert again.get_parameters() == task.get_parameters()
    loaded.run_on(array=photos[0])
    assert result(again)["predictions"] == expected["predictions"]
    assert result(again)["model"] == expected["model"]


def old_workflow_file(path, parameters):
    inputs, outputs = ["IMAGE", "INPUT_GRAPHICS"], ["IMAGE", "OBJECT_DETECTION", "OUTPUT_GRAPHICS", "NUMERIC_VALUES"]
    return write_old_workflow(path, NAME, parameters, inputs, outputs)


@pytest.fixture
def only_torch(monkeypatch):
    """All that `auto` may take: for other runtimes, large networks take long to convert."""
    monkeypatch.setattr("infer_torchvision_resnext.runtimes.candidates.ON_CPU", {"torch": ("fp32", "bf16")})


@pytest.mark.usefixtures("only_torch")
def test_workflows_of_the_earlier_plugin_with_imagenet_run(tmp_path, imagenet_cache, photos):
    keys = {
        "model_name": "resnext50",
        "dataset": "ImageNet",
        "model_path": "",
        "class_file": "/home/someone/Ikomia/Plugins/Python/infer_torchvision_resnext/models/imagenet_classes.txt",
        "input_size": "224",
    }
    wf = Workflow()
    wf.load(old_workflow_file(tmp_path / "old.json", keys))
    wf.run_on(array=photos[0])
    task = wf.find_task(NAME, 0)
    assert len(task.get_whole_image_results()) == 1000
    assert result(task)["model"]["weights"] == "IMAGENET1K_V1"
    wf.save(str(tmp_path / "new.json"))
    again = Workflow()
    again.load(str(tmp_path / "new.json"))
    again.run_on(array=photos[0])
    assert again.find_task(NAME, 0).get_whole_image_results() == task.get_whole_image_results()


@pytest.mark.usefixtures("only_torch")
def test_workflows_of_the_earlier_plugin_with_a_custom_model_run(tmp_path, photos):
    torch.manual_seed(0)
    torch.save(Architecture.from_name("resnext50").build(2).state_dict(), tmp_path / "resnext50.pth")
    (tmp_path / "classes.txt").write_bytes(b"ant\r\nbee\r\n")
    keys = {
        "model_name": "resnext50",
        "dataset": "Custom",
        "model_path": str(tmp_path / "resnext50.pth"),
        "class_file": str(tmp_path / "classes.txt"),
        "input_size": "64",
    }
    wf = Workflow()
    wf.load(old_workflow_file(tmp_path / "old.json", keys))
    wf.run_on(array=photos[0])
    task = wf.find_task(NAME, 0)
    assert {label for label, _ in task.get_whole_image_results()} == {"ant", "bee"}
    assert result(task)["model"]["crop_size"] == 64


def test_init_long_process_loads_so_that_the_run_need_not(tiny, photos):
    wf, task = tiny
    wf.init_long_process()
    assert task._classifier.labels == ("ant", "bee", "cat")
    runtime = task._classifier._loaded.runtime
    wf.run_on(array=photos[0])
    assert task._classifier._loaded.runtime is runtime


@pytest.mark.usefixtures("only_torch")
def test_names_and_colors_follow_the_model(tiny, imagenet_cache, photos, tiny_folder):
    wf, task = tiny
    for weights, count in ((str(tiny_folder), 3), ("IMAGENET1K_V1", 1000), (str(tiny_folder), 3)):
        task.set_parameters({"weights": weights})
        wf.run_on(array=photos[0])
        assert len(task.get_names()) == count
        index = result(task)["predictions"][0]["top_k"][0]["index"]
        assert tuple(task.get_output(2).get_items()[0].property.color[:3]) == color_of(index)
        # The host's own way to add an object reads its color table.
        box = core.CGraphicsRectangle(1.0, 1.0, 9.0, 9.0)
        task.add_object(box, count - 1, 0.5)
        assert tuple(task.get_output(1).get_objects()[-1].color[:3]) == color_of(count - 1)


def test_a_model_folder_comes_in_through_the_third_input(workflow, tiny_folder, photos):
    wf, task = workflow
    task.set_parameters({"device": "cpu"})
    wf.set_image_input(array=photos[0], index=0)
    wf.add_input(dataprocess.CPathIO(core.IODataType.FOLDER_PATH, str(tiny_folder)))
    wf.connect_tasks(wf.root(), task, [(1, 2)])
    wf.run()
    assert {label for label, _ in task.get_whole_image_results()} == {"ant", "bee", "cat"}
