"""No library reports its use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]

CODE = """
import socket, sys

asked = []

def noted(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect"):
        asked.append((event, [str(argument) for argument in arguments]))

sys.addaudithook(noted)
import ikomia
import numpy as np
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.quantization import require_packages

asked.clear()  # Ikomia's own
for runtime in ("openvino", "onnxruntime", "torch"):
    classifier = Classifier()
    classifier.prepare(Parameters(weights=sys.argv[1], runtime=runtime, device="cpu", precision="fp32"))
    classifier.classify([np.zeros((40, 40, 3), np.uint8)])
require_packages()
import openvino.tools.ovc
import threading
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join()
print(asked)
"""


def test_no_connection_is_tried_and_nothing_is_written_into_the_home(tiny_folder, tmp_path):
    pytest.importorskip("openvino_telemetry")
    home = tmp_path / "home"
    home.mkdir()
    # Without a variable by which it takes this for a run of CI.
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tiny_folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert {path.name for path in home.iterdir()} <= {"Ikomia", ".cache"}
