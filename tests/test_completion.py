"""Ikomia's auto-completion with both plugins installed, in a new process, a scratch home and an Ikomia of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ikomia_home import link
from infer_torchvision_resnext.parameters.task import Parameters as InferParameters
from tools.own_ikomia import own_ikomia
from train_torchvision_resnext.parameters.task import Parameters as TrainParameters

REPOSITORY = Path(__file__).parents[1]
CODE = """
import inspect, json, socket, sys
import psutil
bound = []
bind = socket.socket.bind
socket.socket.bind = lambda self, address: (bound.append(address), bind(self, address))[1]
import ikomia
me = psutil.Process()
listening = [one for one in me.net_connections() if one.status == psutil.CONN_LISTEN]
told = {
    "children": len(me.children(recursive=True)),
    "listening": len(listening),
    "bound": len(bound),
    "heavy": sorted({"torch", "torchvision", "mlflow"} & set(sys.modules)),
}
if "ask" in sys.argv:
    from ikomia.utils import ik
    for name in ("infer_torchvision_resnext", "train_torchvision_resnext"):
        completed = getattr(ik, name)
        signature = inspect.signature(completed.__new__)
        told[name] = {key: one.default for key, one in signature.parameters.items() if key != "cls"}
        told[f"{name} by name"] = [getattr(completed, key) for key in told[name]] == list(told[name])
    infer = ik.infer_torchvision_resnext(model_name="resnext101", top_k="2", region="image")
    train = ik.train_torchvision_resnext(epochs="3", layers="1,1", weights="none")
    told["infer"], told["train"] = infer.get_parameters(), train.get_parameters()
    from ikomia.dataprocess.workflow import Workflow
    workflow = Workflow()
    workflow.add_task(ik.infer_torchvision_resnext(top_k="3"), auto_connect=True)
    told["in a workflow"] = workflow.find_task("infer_torchvision_resnext", 0).get_parameters()["top_k"]
print("TOLD", json.dumps(told))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Import Ikomia in a new process with these plugins installed."""

    def start_with(plugins, *arguments):
        home = tmp_path_factory.mktemp("home")
        installed = home / "Ikomia" / "Plugins" / "Python"
        installed.mkdir(parents=True)
        for plugin in plugins:
            link(REPOSITORY / plugin, installed / plugin)
        environment = {
            **os.environ,
            "HOME": str(home),
            "USERPROFILE": str(home),
            "PYTHONPATH": str(own_ikomia(home / "packages")),
            "IKOMIA_AUTO_COMPLETION": "True",
            # The completion of what the HUB has is not asked for over the network.
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        finished = subprocess.run(
            [sys.executable, "-c", CODE, *arguments],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        told = [line[5:] for line in finished.stdout.splitlines() if line.startswith("TOLD ")]
        assert told, finished.stdout + finished.stderr
        return json.loads(told[0])

    return start_with


@pytest.fixture(scope="module")
def completed(start):
    return start(["infer_torchvision_resnext", "train_torchvision_resnext"], "ask")


def test_importing_ikomia_starts_no_server_opens_no_port_and_imports_nothing_heavy(start, completed):
    alone = start([])
    for fact in ("children", "listening", "bound", "heavy"):
        assert completed[fact] == alone[fact], fact
    assert (completed["children"], completed["listening"], completed["heavy"]) == (0, 0, [])


def test_every_parameter_is_completed_with_its_default(completed):
    assert completed["train_torchvision_resnext"] == TrainParameters().to_strings()
    infer = completed["infer_torchvision_resnext"]
    assert infer == {**InferParameters().to_strings(), **dict.fromkeys(InferParameters.OLD_KEYS, "")}
    assert completed["infer_torchvision_resnext by name"]
    assert completed["train_torchvision_resnext by name"]


def test_what_was_completed_makes_tasks_with_these_parameters(completed):
    given = {"model_name": "resnext101", "top_k": "2", "region": "image"}
    assert {key: completed["infer"][key] for key in given} == given
    given = {"epochs": "3", "layers": "1,1", "weights": "none"}
    assert {key: completed["train"][key] for key in given} == given
    assert completed["in a workflow"] == "3"
