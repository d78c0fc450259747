"""After the last epoch: how often images are read, and what the progress bars say."""

import json
import re
from collections import Counter

import numpy as np
import pytest

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.data.samples import Reader
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.golden import read_golden
from train_torchvision_resnext.resnext.trust.evidence import read_evidence
from train_torchvision_resnext.run.progress import Listener
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 8, "val": 14, "test": 3})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_image_is_read_once_after_the_last_epoch(precision, digits, tmp_path, monkeypatch, capsys):
    """For figures, features, golden set and ONNX file together."""
    reads, read = Counter(), Reader.read_with_hash

    def counted(reader, sample):
        reads[sample.path.relative_to(digits).parts[0], sample.path.name] += 1
        return read(reader, sample)

    monkeypatch.setattr(Reader, "read_with_hash", counted)
    values = {**TINY, "epochs": "1", "precision": precision, "export_onnx": "True", "output_folder": str(tmp_path)}
    result = train(digits, read_host_map(values), Listener(epoch=lambda row: reads.clear()))
    images = {(path.relative_to(digits).parts[0], path.name) for path in digits.rglob("*.png")}
    assert reads == dict.fromkeys(images, 1)
    evidence = read_evidence(result.model_folder)
    assert len(evidence.target) == 42
    assert (evidence.predicted == evidence.target).mean() == pytest.approx(result.evaluation.top1)
    golden = read_golden(result.model_folder)
    assert len(golden.images) == 32
    assert len(np.unique(golden.images, axis=0)) == 32
    assert (result.model_folder / "model.onnx").is_file()
    bars = dict.fromkeys(re.findall(r"(?:^|[\r\n])([A-Z][a-z]+: [a-z ]+ images): ", capsys.readouterr().err))
    assert list(bars) == ["Evaluating: validation images", "Evaluating: test images", "Calibrating: training images"]


@pytest.mark.parametrize(("epochs", "parts"), [(2, {"val"}), (1, {"val"}), (2, {"val", "test"})])
def test_figures_of_the_images_that_chose_the_epoch_say_so(epochs, parts, tmp_path):
    digits = write_digits(tmp_path / "digits", {"train": 8, **dict.fromkeys(sorted(parts), 4)})
    values = {**TINY, "epochs": str(epochs), "export_pth": "False", "output_folder": str(tmp_path / "runs")}
    result = train(digits, read_host_map(values))
    told = [note for note in result.evaluation.notes if note.startswith("These figures are of the best of 2 epochs")]
    assert len(told) == (epochs > 1 and "test" not in parts)
    assert not told or told[0] in result.notes
    metrics = json.loads((result.model_folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["validation"]["notes"] == list(result.evaluation.notes)
