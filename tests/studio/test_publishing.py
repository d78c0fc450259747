"""The HUB's real client against a stand-in of the HUB, and Ikomia's own download of what was sent."""

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.image_folders import TINY, write_digits
from tools.hub_stand_in import HubStandIn
from tools.package import files_of

REPOSITORY = Path(__file__).parents[2]
PLUGINS = ("infer_torchvision_resnext", "train_torchvision_resnext")
TOKEN = "a-token-for-this-test"
MIT = 10
"""Its place in the list of licenses that the client shows."""

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("ikcli"), reason="needs ikomia-cli[full]: make test-studio"),
    pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="packages are made from a git checkout"),
]


def publish(hub, answers, token=TOKEN):
    """`make publish` at a terminal where these lines are typed: tool and client each take their own."""
    command = [sys.executable, "-m", "tools.publish", hub.namespace, "--url", hub.url]
    environment = {**os.environ, "IKOMIA_TOKEN": token, "COLUMNS": "200"}
    keyboard, terminal = pytest.importorskip("pty").openpty()
    os.write(keyboard, answers.encode())
    finished = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdin=terminal,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    os.close(keyboard)
    os.close(terminal)
    return finished


@pytest.fixture(scope="module")
def published():
    """A HUB that both plugins were sent to twice: added and published, then updated and published again."""
    with HubStandIn("someone", TOKEN) as hub:
        finished = [publish(hub, f"y\n{MIT}\ny\n{MIT}\ny\n") for _ in range(2)]
        yield hub, finished


def test_nothing_is_sent_before_the_answer():
    with HubStandIn("someone", TOKEN) as hub:
        finished = publish(hub, "n\n")
    assert "Nothing was sent." in finished.stdout
    assert hub.requests == []


def test_a_wrong_token_is_reported():
    with HubStandIn("someone", TOKEN) as hub:
        finished = publish(hub, "y\n", token="another")
    assert finished.returncode != 0
    assert "ikcli could not ask" in finished.stderr
    assert not hub.algorithms


def test_the_client_adds_updates_and_publishes_both(published):
    hub, (first, second) = published
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + first.stderr + second.stdout + second.stderr
    for plugin in PLUGINS:
        assert f"algo add someone {plugin}" in first.stdout
        assert f"algo update {plugin}" in second.stdout
        assert "POST /v1/namespaces/someone/algos/" in hub.requests
        assert f"PUT /v1/algos/{plugin}/" in hub.requests
        assert hub.algorithms[plugin].published == {"license": "MIT", "version": "2.2.0"}
        assert len(hub.algorithms[plugin].packages) == 2
    assert TOKEN not in first.stdout + first.stderr


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_hub_has_icon_readme_and_true_information(published, plugin):
    sent = published[0].algorithms[plugin]
    assert sent.icon == (REPOSITORY / plugin / "icons" / "icon.png").read_bytes()
    assert sent.information["description"] == (REPOSITORY / plugin / "README.md").read_text(encoding="utf-8")
    assert sent.information["algo_task"] == ["CLASSIFICATION"]
    assert sent.information["algo_type"] == plugin.split("_")[0].upper()
    assert sent.information["ikomia_min_version"] == "0.16.1"
    assert sent.information["python_min_version"] == "3.10.0"
    assert sent.information["paper"] == {
        "title": "Aggregated Residual Transformations for Deep Neural Networks",
        "authors": "Saining Xie, Ross Girshick, Piotr Dollár, Zhuowen Tu, Kaiming He",
        "journal": "CVPR",
        "year": 2017,
        "link": "https://arxiv.org/abs/1611.05431",
    }
    assert "resnext" in sent.information["keywords"]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_package_holds_the_tracked_files_and_nothing_else(published, plugin):
    for _, content in published[0].algorithms[plugin].packages:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        assert sorted(f"{plugin}/{name}" for name in names) == files_of(plugin)


def test_the_demo_workflow_of_the_inference_carries_the_plugin_and_no_path_of_this_machine(published):
    hub, _ = published
    assert not hub.algorithms["train_torchvision_resnext"].workflows
    archive = zipfile.ZipFile(io.BytesIO(hub.algorithms["infer_torchvision_resnext"].workflows[-1]))
    workflow = archive.read("workflow.json").decode()
    (task,) = json.loads(workflow)["tasks"]
    assert task["task_data"]["url"] == "file://infer_torchvision_resnext"
    assert not re.search(r'"(/|~|[A-Z]:)', workflow)
    assert not [name for name in archive.namelist() if "__pycache__" in name]


def test_what_was_sent_is_found_downloaded_and_run(published, tmp_path, tiny_folder, photo_path):
    hub, _ = published
    dataset = write_digits(tmp_path / "digits", {"train": 6, "val": 2})
    (tmp_path / "Ikomia" / "Plugins" / "Transfer").mkdir(parents=True)
    code = f"""
from pathlib import Path
import ikomia
from ikomia.core import config
from ikomia.dataprocess.registry import ik_registry
from ikomia.dataprocess.workflow import Workflow
config.main_cfg["hub"]["url"] = {hub.url!r}
print("FOUND", sorted(algo["name"] for algo in ik_registry.get_public_hub_algorithms()))
for name in {PLUGINS!r}:
    # Without install_algorithm's pip, which would change this environment.
    ik_registry._download_algorithm(name)
workflow = Workflow()
task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
task.set_parameters({{"weights": {str(tiny_folder)!r}}})
workflow.run_on(path={photo_path!r})
print("ANSWER", task.get_output(4).data["predictions"][0]["answer"])
# Without servers, which would outlive the test.
config.main_cfg["mlflow"]["tracking_uri"] = Path(config.main_cfg["mlflow"]["store_uri"]).as_uri()
config.main_cfg["tensorboard"]["tracking_uri"] = ""
workflow = Workflow()
workflow.set_directory_input(folder={str(dataset)!r})
task = workflow.add_task(name="train_torchvision_resnext")
workflow.connect_tasks(workflow.root(), task, [(0, 0)])
task.set_parameters({{**{TINY!r}, "epochs": "1", "output_folder": {str(tmp_path / "runs")!r}}})
workflow.run()
print("TRAINED", *sorted(path.name for path in Path(task.get_output(0).get_path()).glob("*.*")))
"""
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = finished.stdout.splitlines()
    assert f"FOUND {sorted(PLUGINS)}" in lines, finished.stdout + finished.stderr
    assert re.search(r"^ANSWER (ant|bee|cat)$", finished.stdout, re.MULTILINE), finished.stdout + finished.stderr
    trained = [line.split()[1:] for line in lines if line.startswith("TRAINED ")]
    assert trained, finished.stdout + finished.stderr
    assert {"classes.txt", "config.json", "model.safetensors"} <= set(trained[0])
    installed = tmp_path / "Ikomia" / "Plugins" / "Python"
    assert sorted(path.name for path in installed.iterdir()) == sorted(PLUGINS)
