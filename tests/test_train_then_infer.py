"""Dataset → training → inference in one real workflow, and the tasks on their own."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ikomia.core import IODataType, config
from ikomia.dataprocess import CPathIO
from ikomia.dataprocess.workflow import Workflow
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.interruptions import end
from tests.image_folders import TINY, write_digits
from tests.old_workflows import write_old_workflow

MODEL_FOLDER, RESULTS = 0, 1
ANSWER = 4
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 20, "val": 5})


def training_workflow(dataset, output, **values):
    """Root with the dataset's folder → training."""
    workflow = Workflow()
    workflow.set_directory_input(folder=str(dataset))
    task = workflow.add_task(name="train_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    task.set_parameters({**TINY, "output_folder": str(output), **values})
    return workflow, task


def inference_with(folder, **values):
    workflow = Workflow()
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    task.set_parameters({"weights": str(folder), "device": "cpu", **values})
    return workflow, task


def files_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def validation_images(dataset):
    return sorted((dataset / "val").rglob("*.png"), key=lambda path: (path.parent.name, path))


def test_one_graph_trains_and_infers_without_a_path_being_typed(digits, tmp_path):
    workflow, train = training_workflow(digits, tmp_path)
    infer = workflow.add_task(name="infer_torchvision_resnext")
    workflow.connect_tasks(train, infer, [(MODEL_FOLDER, 2)])
    image = validation_images(digits)[0]
    workflow.set_image_input(path=str(image))
    workflow.connect_tasks(workflow.root(), infer, [(1, 0)])
    workflow.run()
    folder = train.get_output(MODEL_FOLDER).get_path()
    answer = infer.get_output(ANSWER).data
    assert answer["model"]["weights"] == folder
    assert {entry["label"] for entry in answer["predictions"][0]["top_k"]} == {"0", "1", "2"}
    assert files_in(folder) == [
        "classes.txt",
        "config.json",
        "golden.safetensors",
        "metrics.json",
        "model.safetensors",
        "report",
        "resnext8_4x4d.pth",
        "trust.safetensors",
    ]
    assert files_in(Path(folder).parent) == ["epochs", "model", "run.json"]
    results = train.get_output(RESULTS).data
    assert (results["model_folder"], results["stopped"]) == (folder, False)
    assert len(results["history"]) == 3
    assert results["best_epoch_by"] == "top1"


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """What a training tells. Its network is that of the graph above, and so are the graphs converted from it."""
    workflow, train = training_workflow(digits, tmp_path_factory.mktemp("trained"))
    workflow.run()
    return train.get_output(RESULTS).data


@pytest.fixture(scope="module")
def trained_folder(trained):
    return Path(trained["model_folder"])


def test_inference_gives_the_probabilities_of_the_trainings_own_evaluation(digits, trained, trained_folder):
    inference, infer = inference_with(trained_folder, top_k="0", precision="fp32")
    with (trained_folder / "report" / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [digits / row["file"] for row in rows] == validation_images(digits)
    confusion = np.zeros((3, 3), int)
    for row in rows:
        inference.run_on(path=str(digits / row["file"]))
        entries = infer.get_output(ANSWER).data["predictions"][0]["top_k"]
        probabilities = {entry["label"]: entry["probability"] for entry in entries}
        assert row["predicted"] == entries[0]["label"]
        assert probabilities[row["predicted"]] == pytest.approx(float(row["calibrated_probability"]), abs=1e-5)
        assert probabilities[row["true"]] == pytest.approx(float(row["calibrated_probability_of_true"]), abs=1e-5)
        confusion[int(row["true"]), entries[0]["index"]] += 1
    assert confusion.tolist() == trained["validation"]["confusion"]


def test_the_guard_measures_on_the_golden_set_of_the_training(trained_folder, digits):
    pytest.importorskip("openvino")
    workflow, task = inference_with(trained_folder, precision="fp32")
    workflow.run_on(path=str(validation_images(digits)[0]))
    runtime = task.get_output(ANSWER).data["runtime"]
    agreement = runtime["agreement"]
    assert (runtime["name"], runtime["precision"]) == ("openvino", "fp32")
    assert (agreement["golden"], agreement["images"], agreement["top1"]) == (True, 15, 1.0)
    assert 0 < agreement["largest_change"] < 1e-4


@pytest.mark.usefixtures("no_report")
def test_what_was_quantized_in_training_runs_in_int8_with_the_accuracy_of_the_report(digits, tmp_path):
    pytest.importorskip("nncf")
    workflow, train = training_workflow(digits, tmp_path, epochs="4", quantize="True", quantize_max_drop="1")
    workflow.run()
    folder = Path(train.get_output(MODEL_FOLDER).get_path())
    inference, task = inference_with(folder, precision="int8", runtime="openvino")
    right = 0
    images = validation_images(digits)
    for image in images:
        inference.run_on(path=str(image))
        right += task.get_output(ANSWER).data["predictions"][0]["answer"] == image.parent.name
    runtime = task.get_output(ANSWER).data["runtime"]
    assert (runtime["name"], runtime["precision"]) == ("openvino", "int8")
    assert (runtime["agreement"]["golden"], runtime["agreement"]["images"]) == (True, 15)
    reported = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["int8"]
    assert right / len(images) == pytest.approx(reported["int8_accuracy"])


@pytest.mark.usefixtures("no_report")
def test_stop_ends_within_a_batch_and_leaves_a_model_and_the_run_goes_on(digits, tmp_path):
    workflow, train = training_workflow(digits, tmp_path, epochs="5000", scheduler="none")
    runner = threading.Thread(target=workflow.run)
    stopper = threading.Event()

    def stop_when_there_is_a_best_epoch():
        while not list(tmp_path.glob("*/checkpoints/last.ckpt")) and not stopper.wait(0.01):
            pass
        train.stop()

    watcher = threading.Thread(target=stop_when_there_is_a_best_epoch)
    watcher.start()
    runner.start()
    runner.join()
    stopper.set()
    watcher.join()
    results = train.get_output(RESULTS).data
    assert results["stopped"]
    assert 1 <= len(results["history"]) < 5000
    folder = Path(results["model_folder"])
    assert "model.safetensors" in files_in(folder)
    assert files_in(folder.parent) == ["checkpoints", "epochs", "model", "run.json"]


@pytest.mark.usefixtures("no_report")
def test_each_epoch_is_told_where_the_host_tells_things(digits, tmp_path):
    log = Path(config.main_cfg["root_folder"]) / "log.txt"
    before = len(log.read_text(encoding="utf-8"))
    workflow, train = training_workflow(digits, tmp_path)
    steps = []
    emit = train.emit_step_progress
    train.emit_step_progress = lambda: (steps.append(1), emit())
    workflow.run()
    told = re.findall(r"INFO:(epoch .*)", log.read_text(encoding="utf-8")[before:])
    history = train.get_output(RESULTS).data["history"]
    assert [line.partition(":")[0] for line in told] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]
    for line, row in zip(told, history, strict=True):
        assert f"loss {row['train_loss']:.4g}, validation loss {row['val_loss']:.4g}" in line
    assert told[0].endswith(" left")
    assert len(steps) == train.get_progress_steps()


@pytest.mark.usefixtures("no_report")
def test_stopping_the_workflow_keeps_the_best_epoch_and_ends_the_graph(digits, tmp_path):
    workflow, train = training_workflow(digits, tmp_path, epochs="5000", scheduler="none")

    def stop_when_there_is_a_best_epoch():
        for _ in range(6000):
            if list(tmp_path.glob("*/checkpoints/last.ckpt")):
                return workflow.stop()
            time.sleep(0.01)
        raise AssertionError("no epoch was completed")

    watcher = threading.Thread(target=stop_when_there_is_a_best_epoch)
    watcher.start()
    with pytest.raises(RuntimeError, match="Stop workflow requested"):
        workflow.run()
    watcher.join()
    results = train.get_output(RESULTS).data
    assert results["stopped"]
    assert "model.safetensors" in files_in(results["model_folder"])


def test_constructing_the_task_is_cheap_and_starts_nothing(tmp_path):
    code = """
import sys, threading, psutil
import ikomia
from ikomia.dataprocess.workflow import Workflow
task = Workflow().add_task(name="train_torchvision_resnext")
me = psutil.Process()
assert task.type.name == "DNN_TRAIN", "not what the host knows as a training"
for slow in ("torch", "mlflow", "tensorboard", "matplotlib"):
    assert slow not in sys.modules, f"{slow} was imported"
assert not me.children(recursive=True), "a process was started"
assert not me.net_connections(), "a port was opened"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"epochs": "0"}, "epochs = '0'"), ({"epochz": "1"}, "did you mean 'epochs'")],
)
def test_refused_parameters_are_told_at_the_border(values, problem):
    task = Workflow().add_task(name="train_torchvision_resnext")
    with pytest.raises(ValueError, match=problem):
        task.set_parameters(values)


def test_parameters_survive_a_workflow_file(digits, tmp_path):
    workflow, train = training_workflow(digits, tmp_path, ema_decay="0.5")
    workflow.save(str(tmp_path / "workflow.json"))
    loaded = Workflow()
    loaded.load(str(tmp_path / "workflow.json"))
    assert loaded.find_task("train_torchvision_resnext", 0).get_parameters() == train.get_parameters()


@pytest.mark.usefixtures("no_report")
def test_a_workflow_of_the_earlier_plugin_trains(digits, tmp_path, imagenet_cache):
    keys = {
        "model_name": "resnext50",
        "batch_size": "30",
        "epochs": "1",
        "learning_rate": "0.001",
        "momentum": "0.9",
        "weight_decay": "0.0001",
        "num_workers": "0",
        "input_size": "32",
        "use_pretrained": "1",
        "feature_extract": "True",
        "export_pth": "True",
        "export_onnx": "False",
        "output_folder": str(tmp_path / "models"),
    }
    workflow = Workflow()
    workflow.load(write_old_workflow(tmp_path / "old.json", "train_torchvision_resnext", keys, ["FOLDER_PATH"]))
    workflow.set_directory_input(folder=str(digits))
    workflow.run()
    train = workflow.find_task("train_torchvision_resnext", 0)
    model = Path(train.get_output(MODEL_FOLDER).get_path())
    assert model.is_relative_to(tmp_path / "models")
    assert {"model.safetensors", "resnext50.pth", "classes.txt"} <= set(files_in(model))
    (row,) = train.get_output(RESULTS).data["history"]
    assert row["epoch"] == 1
    values = train.get_parameters()
    assert (values["use_pretrained"], values["feature_extract"]) == ("True", "True")
    workflow.save(str(tmp_path / "new.json"))
    again = Workflow()
    again.load(str(tmp_path / "new.json"))
    assert again.find_task("train_torchvision_resnext", 0).get_parameters() == values


def test_a_workflow_of_the_earlier_plugin_keeps_its_values(tmp_path):
    keys = {"model_name": "resnext101", "epochs": "15", "learning_rate": "0.001", "use_pretrained": "True"}
    workflow = Workflow()
    workflow.load(write_old_workflow(tmp_path / "old.json", "train_torchvision_resnext", keys, ["FOLDER_PATH"]))
    loaded = workflow.find_task("train_torchvision_resnext", 0).get_parameters()
    assert {key: loaded[key] for key in keys} == keys


@pytest.mark.usefixtures("no_report")
def test_the_hosts_progress_moves_with_the_batches(digits, tmp_path):
    workflow, train = training_workflow(digits, tmp_path)
    steps = []
    emit, task = train.emit_step_progress, train._progress

    def in_one_go(done):
        steps.append(0)
        task(done)

    def count():
        steps[-1] += 1
        emit()

    train._progress, train.emit_step_progress = in_one_go, count
    workflow.run()
    assert sum(steps) == train.get_progress_steps()
    # 75 images were checked, three epochs of 10 batches run; the longest stretch is the twentieth after the epochs.
    assert len([number for number in steps if number]) >= 75 // 2 + 30
    assert max(steps) <= train.get_progress_steps() / 20


def test_figures_and_the_model_folder_are_logged_where_studio_looks(digits, tmp_path):
    workflow, train = training_workflow(digits, tmp_path, epochs="2")
    workflow.run()
    client = MlflowClient(config.main_cfg["mlflow"]["tracking_uri"])
    experiment = client.get_experiment_by_name("train_torchvision_resnext")
    run = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]
    assert run.data.params["epochs"] == "2"
    assert run.data.params["output_folder"] == str(tmp_path)
    history = train.get_output(RESULTS).data["history"]
    assert [entry.value for entry in client.get_metric_history(run.info.run_id, "val_top1")] == [
        row["val_top1"] for row in history
    ]
    names = {Path(entry.path).name for entry in client.list_artifacts(run.info.run_id, "model")}
    assert names == set(files_in(train.get_output(MODEL_FOLDER).get_path()))
    pictures = {Path(entry.path).name for entry in client.list_artifacts(run.info.run_id, "model/report")}
    assert {"report.html", "confusion_matrix.png", "learning_curves.png"} <= pictures
    events = Path(config.main_cfg["tensorboard"]["log_uri"]) / "train_torchvision_resnext"
    newest = max(events.rglob("events.out.tfevents*"), key=lambda path: path.stat().st_mtime)
    scalars = EventAccumulator(str(newest)).Reload().Scalars("val_top1")
    assert [event.value for event in scalars] == pytest.approx([row["val_top1"] for row in history])


def test_without_a_dataset_the_task_says_so(tmp_path):
    workflow = Workflow()
    workflow.add_input(CPathIO(IODataType.FOLDER_PATH))
    task = workflow.add_task(name="train_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    task.set_parameters({**TINY, "output_folder": str(tmp_path)})
    with pytest.raises(RuntimeError, match="there is no dataset"):
        workflow.run()


def test_problems_of_the_data_reach_the_caller(tmp_path):
    workflow, _ = training_workflow(write_digits(tmp_path / "data", {"train": 4}, labels=(1,)), tmp_path / "runs")
    with pytest.raises(RuntimeError, match="at least two classes"):
        workflow.run()


def test_the_hubs_own_check_can_fail(tmp_path):
    from train_torchvision_resnext.train_torchvision_resnext_test import test

    data = {"datasets": {"classification": {"dataset_classification": str(tmp_path / "missing")}}}
    with pytest.raises(AssertionError, match="is not a folder"):
        test(Workflow().add_task(name="train_torchvision_resnext"), data)


def runs_in_mlflow():
    client = MlflowClient(config.main_cfg["mlflow"]["tracking_uri"])
    experiment = client.get_experiment_by_name("train_torchvision_resnext")
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])


@pytest.mark.usefixtures("no_report")
def test_a_run_in_mlflow_has_a_name_and_goes_on_when_the_training_does(digits, tmp_path):
    killed = end("kill -9", digits, tmp_path / "abandoned")
    assert killed.code != 0
    (abandoned,) = (tmp_path / "abandoned").glob("*/checkpoints/mlflow_run.txt")
    run = abandoned.parents[1]
    shutil.move(run, tmp_path / run.name)
    abandoned_id = (tmp_path / run.name / "checkpoints" / "mlflow_run.txt").read_text()
    # MLflow cannot list runs beside a figure that was killed while it was written.
    for figure in Path(config.main_cfg["mlflow"]["store_uri"]).glob(f"*/{abandoned_id}/metrics/*"):
        if not figure.stat().st_size:
            figure.unlink()

    workflow, train = training_workflow(digits, tmp_path, epochs="3")
    emit = train.emit_step_progress

    def stop_after_an_epoch():
        if list(tmp_path.glob("*/epochs/0001.json")) and len(list(tmp_path.glob("*/checkpoints/last.ckpt"))) == 2:
            train.stop()
        emit()

    train.emit_step_progress = stop_after_an_epoch
    workflow.run()
    begun = runs_in_mlflow()[0]
    assert re.fullmatch(rf"{digits.name} resnext8_4x4d \d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d", begun.info.run_name)
    status = {run.info.run_id: run.info.status for run in runs_in_mlflow()}
    assert status[abandoned_id] == "KILLED"
    count = len(status)

    train.emit_step_progress = emit
    train.set_parameters({"resume": "auto"})
    workflow.run()
    assert train.get_output(RESULTS).data["best_epoch"] >= 1
    (again,) = (run for run in runs_in_mlflow() if run.info.run_id == begun.info.run_id)
    assert len(runs_in_mlflow()) == count
    assert again.info.status == "FINISHED"
    client = MlflowClient(config.main_cfg["mlflow"]["tracking_uri"])
    steps = [entry.step for entry in client.get_metric_history(begun.info.run_id, "val_top1")]
    assert steps == [1, 2, 3]
