"""After the last epoch: how often images are read, and what the progress bars say."""

import re
from collections import Counter

import numpy as np
import pytest

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.data import samples
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.progress import Listener
from train_torchvision_resnext.resnext.folder.golden import read_golden
from train_torchvision_resnext.resnext.trust.evidence import read_evidence
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 8, "val": 14, "test": 3})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_image_is_read_once_after_the_last_epoch(precision, digits, tmp_path, monkeypatch, capsys):
    """For figures, features, golden set and ONNX file together."""
    reads, read_image = Counter(), samples.read_image

    def counted(path, *others):
        reads[path.relative_to(digits).parts[0], path.name] += 1
        return read_image(path, *others)

    monkeypatch.setattr(samples, "read_image", counted)
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
