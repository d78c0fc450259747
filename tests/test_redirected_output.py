"""Output redirected on Windows is in the system's code page: labels and paths in Chinese must not end the work."""

import io
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from infer_torchvision_resnext.resnext.host.streams import EncodableMessages
from tests.image_folders import TINY, write_two_levels

REPOSITORY = Path(__file__).parents[1]
WINDOWS = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}

TRAIN_IN_IKOMIA = """
    import sys
    from ikomia.core import config
    from ikomia.dataprocess.workflow import Workflow

    config.main_cfg["mlflow"]["tracking_uri"] = sys.argv[3]
    config.main_cfg["tensorboard"]["tracking_uri"] = ""
    workflow = Workflow()
    workflow.set_directory_input(folder=sys.argv[1])
    task = workflow.add_task(name="train_torchvision_resnext")
    workflow.connect_tasks(workflow.root(), task, [(0, 0)])
    task.set_parameters({**dict(pair.split("=", 1) for pair in sys.argv[4:]), "output_folder": sys.argv[2]})
    workflow.run()
"""


@pytest.fixture
def cats(tmp_path):
    """Class folders, one of them in Chinese and small enough for a note that names it."""
    folder = write_two_levels(tmp_path / "猫狗", {"": 8}, 16, 16)
    (folder / "dark").rename(folder / "猫")
    for path in sorted((folder / "猫").iterdir())[2:]:
        path.unlink()
    return folder


def output_of(*command):
    """What a command writes to standard output and standard error."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=REPOSITORY,
        env={**os.environ, **WINDOWS},
        capture_output=True,
        timeout=600,
        check=False,
    )
    said, errors = (stream.decode("cp1252") for stream in (done.stdout, done.stderr))
    assert done.returncode == 0, errors
    return said, errors


def test_classify(cats, tiny_folder, tmp_path):
    settings = (f"weights={tiny_folder}", "runtime=torch", "device=cpu")
    said, _ = output_of("-m", "infer_torchvision_resnext", "classify", cats, tmp_path / "表", "--set", *settings)
    assert r"10 rows in" in said
    assert r"\u8868" in said


def test_train(cats, tmp_path):
    settings = [f"{key}={value}" for key, value in {**TINY, "epochs": 1, "output_folder": tmp_path / "模型"}.items()]
    said, _ = output_of("-m", "train_torchvision_resnext", cats, "--set", *settings)
    assert r"\u732b" in said
    assert r"the model is in" in said
    assert list(tmp_path.glob("模型/*/model/model.safetensors"))


def test_training_within_ikomia(cats, tmp_path):
    settings = [f"{key}={value}" for key, value in {**TINY, "epochs": 1}.items()]
    arguments = (cats, tmp_path / "模型", (tmp_path / "mlruns").as_uri(), *settings)
    said, errors = output_of("-c", textwrap.dedent(TRAIN_IN_IKOMIA), *arguments)
    assert r"\u732b" in said
    assert "Logging error" not in errors
    assert list(tmp_path.glob("模型/*/model/model.safetensors"))


def test_messages_are_escaped_for_the_streams_that_need_it():
    """A handler of the host's writes them, and that of a parent's as well."""
    parent, logger = logging.getLogger("test_streams"), logging.getLogger("test_streams.plugin")
    parent.propagate = False
    stream = io.TextIOWrapper(io.BytesIO(), "cp1252")
    handler = logging.StreamHandler(stream)
    parent.addHandler(handler)
    logger.addFilter(EncodableMessages(logger))
    logger.error("%s und %s: 100 %%", "猫", "Käfer")
    parent.removeHandler(handler)
    stream.flush()
    assert stream.buffer.getvalue().decode("cp1252").strip() == r"\u732b und Käfer: 100 %"
