"""The notebooks run with the present code, and what is kept of them was really executed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


QUIET = {"ImageShow.IPythonViewer()": "type('Quiet', (ImageShow.Viewer,), {'show': lambda *image, **options: 1})()"}
"""A test has no notebook to show pictures in."""

FEWER = {
    '"epochs": 6': '"epochs": 1',
    "= training_and_held_out()": "= map(first, training_and_held_out(), (200, 40))",
}


def code_cells(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def test_there_is_one_for_each_plugin():
    assert [path.name for path in NOTEBOOKS] == ["classify.ipynb", "train.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_was_executed_from_top_to_bottom_and_shows_pictures(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run make notebooks"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) >= 3
    text = "".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", "")) for output in outputs
    )
    for place in ("/home/", "/root/", "/tmp/", "/Users/", ":\\"):
        assert place not in text


@pytest.mark.parametrize(
    ("notebook", "changes", "shown"),
    [
        ("classify", QUIET, ("40 objects, 40 of 40 digits right", "unlike what was learned: its score is ")),
        ("train", FEWER, ("epoch 1 of 1: loss ", "digits that it never saw are right")),
    ],
)
def test_its_code_runs(notebook, changes, shown, tmp_path):
    """As one program, in a home of its own; training on fewer images for a shorter time."""
    # The model of the examples is converted by then.
    Classifier(tmp_path / "home" / "Ikomia" / "Data" / "infer_torchvision_resnext").prepare(
        Parameters(weights=str(EXAMPLES / "models" / "digits"))
    )
    # Not where a person's own examples keep their models.
    elsewhere = f"import examples.ikomia_home, pathlib; examples.ikomia_home.DEMO = pathlib.Path({str(tmp_path)!r})"
    first = "def first(all, count): return type(all)(all.images[:count], all.digits[:count])"
    code = "\n".join([elsewhere, first, *(source(cell) for cell in code_cells(EXAMPLES / f"{notebook}.ipynb"))])
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    for words in shown:
        assert words in finished.stdout
