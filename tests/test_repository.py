"""What the repository promises: true READMEs, cheap construction, plugins that stand alone."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from examples.ikomia_home import link
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters import Parameters
from tools.package import package
from tools.publish import version
from tools.update_readme import INFER_README, example_output, with_tables

REPOSITORY = Path(__file__).parents[1]
PLUGINS = sorted(path.name for path in REPOSITORY.glob("*_torchvision_resnext"))
DOCUMENTS = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("*_torchvision_resnext/*.md")]


def run_python(code, home, **environment):
    """Run code in a new process with a home of its own."""
    variables = {**os.environ, "HOME": str(home), "USERPROFILE": str(home), **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=variables, cwd=home, capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path):
    """An Ikomia home with the plugins linked into it."""
    installed = tmp_path / "Ikomia" / "Plugins" / "Python"
    installed.mkdir(parents=True)
    for plugin in PLUGINS:
        link(REPOSITORY / plugin, installed / plugin)
    return tmp_path


def test_the_readme_has_the_schemas_table():
    text = INFER_README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run make docs"


def test_the_readme_shows_a_real_output():
    text = INFER_README.read_text(encoding="utf-8")
    shown = json.loads(re.search(r"<!-- example output -->\n```json\n(.*?)```", text, re.DOTALL)[1])
    real = example_output()
    assert shown.pop("timings_ms").keys() == real.pop("timings_ms").keys()
    assert shown["predictions"][0].pop("probability") == pytest.approx(real["predictions"][0].pop("probability"))
    for output in (shown, real):
        # How the processor rounds.
        assert output["runtime"]["agreement"].pop("largest_change") < 1e-4
    for prediction in (shown, real):
        for row in prediction["predictions"][0]["top_k"]:
            row["probability"] = round(row["probability"], 2)
    assert shown == real, "run make docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_constructing_the_task_imports_no_torch_opens_no_connection_and_writes_no_file(home):
    code = """
import socket, sys
from pathlib import Path
import ikomia
from ikomia.dataprocess.registry import ik_registry
def refuse(*arguments): raise AssertionError(f"a connection: {arguments}")
socket.socket.connect = socket.socket.bind = refuse
files = lambda: {str(p) for p in Path.home().rglob("*")}
before = files()
task = ik_registry.create_algorithm("infer_torchvision_resnext", public_hub=False)
assert task.get_parameters()["model_name"] == "resnext50"
print(sorted({"torch", "torchvision", "safetensors"} & set(sys.modules)), sorted(files() - before))
"""
    finished = run_python(code, home, IKOMIA_AUTO_COMPLETION="False", PYTHONDONTWRITEBYTECODE="1")
    assert finished.stdout.strip().splitlines()[-1:] == ["[] []"], finished.stderr


@pytest.mark.usefixtures("few_images")
def test_a_warm_run_in_openvino_imports_neither_torch_nor_torchvision(home, tiny_folder, imagenet_cache):
    pytest.importorskip("openvino")
    code = """
import sys
import numpy as np
from ikomia.dataprocess.workflow import Workflow
wf = Workflow()
task = wf.add_task(name="infer_torchvision_resnext", auto_connect=True)
for weights in sys.argv[1:]:
    maps = weights == sys.argv[1]
    task.set_parameters({"weights": weights, "device": "cpu", "runtime": "openvino", "maps": maps})
    wf.run_on(array=np.zeros((300, 400, 3), np.uint8))
    data = task.get_output(4).data
    print(data["runtime"]["name"], len(data["predictions"][0]["top_k"]), "map" in data["predictions"][0])
print(sorted({"torch", "torchvision"} & set(sys.modules)))
"""
    sources = (str(tiny_folder), "IMAGENET1K_V2", str(imagenet_cache / "resnext50_32x4d-1a0047aa.pth"))
    classifier = Classifier(home / "Ikomia" / "Data" / "infer_torchvision_resnext")
    for weights in sources:
        classifier.prepare(Parameters(weights=weights, device="cpu", runtime="openvino"))
    finished = subprocess.run(
        [sys.executable, "-c", code, *sources],
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home), "IKOMIA_AUTO_COMPLETION": "False"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [line for line in finished.stdout.splitlines() if line.startswith(("openvino", "["))]
    assert answers == ["openvino 3 True", "openvino 5 False", "openvino 5 False", "[]"], finished.stderr


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_folder_is_as_the_hub_wants_it(plugin):
    folder = REPOSITORY / plugin
    # The HUB's installer renames the folder after the first file with `_process` in its name.
    assert [path.name for path in folder.glob("*_process*.py")] == [f"{plugin}_process.py"]
    assert (folder / f"{plugin}.py").is_file()
    for name in ("README.md", "LICENSE", "requirements.txt", "__init__.py"):
        assert (folder / name).is_file()
    with Image.open(folder / "icons" / "icon.png") as icon:
        assert icon.size == (128, 128)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_only_host_files_know_the_host(plugin):
    for path in (REPOSITORY / plugin).rglob("*.py"):
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
        }
        if path.parent.name == "host" and path.stem in ("task", "form_widget"):
            # Each plugin has its own copy, which must not find the other's.
            assert not imported & {*PLUGINS}, path
        elif not path.name.startswith(plugin):
            assert not imported & {"ikomia", "PyQt6", *PLUGINS}, path


def test_both_plugins_carry_the_same_shared_code():
    """As `make sync` writes them."""
    infer, train = (REPOSITORY / name for name in PLUGINS)
    shared = [
        {path.relative_to(plugin): path.read_bytes() for path in (plugin / "resnext").rglob("*.py")}
        for plugin in (infer, train)
    ]
    assert shared[0] == shared[1], "run make sync"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_information_for_the_hub_is_complete(plugin):
    from ikomia.dataprocess.registry import ik_registry

    ik_registry.create_algorithm(plugin, public_hub=False)
    info = ik_registry.get_algorithm_info(plugin)
    assert re.fullmatch(r"\d+\.\d+\.\d+", info.version)
    assert f"## {info.version}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (REPOSITORY / plugin / info.icon_path).is_file()
    assert (info.license, info.year, info.min_ikomia_version) == ("MIT", 2017, "0.16.1")
    for text in (info.short_description, info.description, info.authors, info.article, info.article_url, info.keywords):
        assert text
    assert not info.hardware_config.gpu_required
    assert info.hardware_config.min_ram in (2, 6)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_unzipped_package_runs_alone(plugin, tmp_path, tiny_folder):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("packages are made from a git checkout")
    installed = tmp_path / "Ikomia" / "Plugins" / "Python"
    installed.mkdir(parents=True)
    with zipfile.ZipFile(package(plugin)) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    assert all(name.startswith(f"{plugin}/") for name in names)
    assert not [name for name in names if re.search(r"__pycache__|\.pyc|\.pth$|\.safetensors$|\.onnx$", name)]
    code = f"""
import ikomia
from ikomia.dataprocess.registry import ik_registry
print(len(ik_registry.create_algorithm("{plugin}", public_hub=False).get_parameters()))
"""
    finished = run_python(code, tmp_path, IKOMIA_AUTO_COMPLETION="False")
    assert int(finished.stdout.strip().splitlines()[-1]) > 5, finished.stderr


def spoken(plugin):
    """All that a plugin's code can say, with `…` in the place of what is filled in."""
    said = []
    for path in (REPOSITORY / plugin).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                said.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.append(node.value)
    return "\n".join(said)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_messages_in_the_readme_are_the_codes_own(plugin):
    text = (REPOSITORY / plugin / "README.md").read_text(encoding="utf-8")
    section = text.partition("## If something goes wrong")[2]
    messages = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    assert len(messages) >= 10
    said = spoken(plugin)
    missing = [message for message in messages if message not in said]
    assert not missing


def test_both_plugins_are_published_under_the_version_of_the_changelog():
    newest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert version() == newest[1]
