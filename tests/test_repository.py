"""What the repository promises: true READMEs, cheap construction, plugins that stand alone."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.digits import training_and_held_out
from examples.ikomia_home import link
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from tools.package import package
from tools.publish import version
from tools.update_readme import EXAMPLE_IMAGE, GENERATED, INFER_REFERENCE, example_output, with_generated_parts
from train_torchvision_resnext.parameters.task import Parameters as TrainParameters

REPOSITORY = Path(__file__).parents[1]
PLUGINS = sorted(path.name for path in REPOSITORY.glob("*_torchvision_resnext"))
DOCUMENTS = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("*_torchvision_resnext/*.md")]
TROUBLESHOOTING = REPOSITORY / "docs" / "troubleshooting.md"
WORDS_OF_A_README = 900


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


@pytest.mark.parametrize("document", GENERATED)
def test_a_document_has_what_is_generated_from_the_code(document):
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    assert with_generated_parts(document, text) == text, "run make docs"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_reference_names_every_parameter_with_its_default_and_meaning(plugin):
    schema = {"infer_torchvision_resnext": Parameters, "train_torchvision_resnext": TrainParameters}[plugin]
    (document,) = (name for name, parts in GENERATED.items() if f"parameters of {plugin}" in parts)
    entries = re.findall(
        r"^- \*\*`(\w+)`\*\* \((.+)$", (REPOSITORY / document).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {key for key, _ in entries} == set(schema.model_fields)
    assert len(entries) == len(schema.model_fields)
    for key, entry in entries:
        default = schema().to_strings()[key]
        assert entry.startswith(f"`{default}`" if default else "empty")
        assert entry.endswith(f"): {schema.meaning(key)}")
        assert schema.allowed(key).split(" from ")[-1] in entry or default in ("True", "False")


def test_the_model_table_has_the_figures_of_torchvision():
    from torchvision.models import ResNeXt50_32X4D_Weights as Weights

    row = re.search(r"^\| `resnext50` \|.*$", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    top1 = [weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] for weights in Weights]
    assert cells == ["`resnext50`", "50", "25.0", "4.2", "96", *(f"{figure:.1f}" for figure in top1)]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_readme_of_a_plugin_is_short_and_shows_only_pictures_that_are_published_with_it(plugin):
    text = (REPOSITORY / plugin / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= WORDS_OF_A_README
    pictures = re.findall(r'!\[[^]]*\]\(([^)]+)\)|<img src="([^"]+)"', text)
    assert pictures
    for picture in ("".join(pair) for pair in pictures):
        assert (REPOSITORY / plugin / picture).resolve().is_relative_to(REPOSITORY / plugin)
        assert (REPOSITORY / plugin / picture).is_file()


def test_the_example_image_is_the_first_held_out_digit():
    with Image.open(EXAMPLE_IMAGE) as image:
        assert np.array_equal(np.asarray(image), training_and_held_out()[1].images[0])


def test_the_reference_shows_a_real_output():
    text = INFER_REFERENCE.read_text(encoding="utf-8")
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


def anchors(document):
    """What GitHub calls the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document):
    for target, place in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", document.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        linked = document.parent / target if target else document
        assert linked.exists(), target
        if place:
            assert place in anchors(linked), f"{target}#{place}"


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
        if path.parent.name == "host" and path.stem in ("task", "form_widget", "outputs", "viewers"):
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
def test_the_messages_in_the_manual_are_the_codes_own(plugin):
    text = TROUBLESHOOTING.read_text(encoding="utf-8")
    section = text.partition(f"\n## {plugin}\n")[2].partition("\n## ")[0]
    messages = re.findall(r"^- `(.+?)`: ", section, re.MULTILINE)
    assert len(messages) >= 10
    said = spoken(plugin)
    missing = [message for message in messages if message not in said]
    assert not missing


def test_both_plugins_are_published_under_the_version_of_the_changelog():
    newest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert version() == newest[1]
