import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.digits import training_and_held_out
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import load_model
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.folder.quantization import QuantizationError, Validation, quantize
from infer_torchvision_resnext.resnext.images.rgb import to_rgb
from infer_torchvision_resnext.resnext.machine.devices import X86, DeviceError
from infer_torchvision_resnext.resnext.network.openvino_network import OpenVINONetwork, Setup
from infer_torchvision_resnext.resnext.network.outputs import Outputs
from infer_torchvision_resnext.resnext.trust.evidence import EVIDENCE, Evidence, write_evidence

DIGITS = Path(__file__).parents[4] / "examples" / "models" / "digits"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(DIGITS, tmp_path / "digits")


@pytest.fixture(scope="module")
def crops():
    """Crops of digits to calibrate on, others to measure on, and the true classes of these."""
    training, held_out = training_and_held_out()
    crop = load_model(Parameters(weights=str(DIGITS)), Cache()).preprocessing.crop
    calibration = np.stack([crop(to_rgb(image)) for image in training.images[:60]])
    return calibration[:, None], [np.stack([crop(to_rgb(image)) for image in held_out.images])], held_out.digits


@pytest.mark.processor
def test_a_quantized_digits_model_runs_in_int8_and_keeps_its_accuracy(folder, crops):
    pytest.importorskip("nncf")
    calibration, validation, digits = crops
    report = quantize(folder, calibration, Validation(validation, digits.tolist()), max_drop=0.03)
    assert (report.kept, report.images) == (True, 360)
    assert report.fp32_accuracy == pytest.approx(358 / 360)
    assert report.fp32_accuracy - 0.03 <= report.int8_accuracy <= 1
    assert sorted(path.name for path in (folder / "openvino").iterdir()) == ["int8.bin", "int8.json", "int8.xml"]
    assert json.loads((folder / "openvino" / "int8.json").read_text())["int8_accuracy"] == report.int8_accuracy
    classifier = Classifier()
    asked = Parameters(weights=str(folder), device="cpu", precision="int8", unknown_sensitivity=0)
    classifier.prepare(asked)
    found = [
        answer.answer for answer in classifier.classify([to_rgb(image) for image in training_and_held_out()[1].images])
    ]
    assert np.mean(np.array(found) == digits.astype(str)) == pytest.approx(report.int8_accuracy)
    runtime = classifier.describe()["runtime"]
    assert (runtime["name"], runtime["precision"]) == ("openvino", "int8")
    assert runtime["agreement"]["largest_change"] > 1e-4
    content = (folder / "openvino" / "int8.json").read_text().replace("weights_sha256", "none")
    (folder / "openvino" / "int8.json").write_text(content)
    with pytest.raises(DeviceError, match=r"int8\.xml was made of other weights than"):
        classifier.prepare(asked)


def test_a_drop_beyond_the_bound_leaves_the_folder_as_it_was(folder, crops):
    pytest.importorskip("nncf")
    calibration, validation, digits = crops
    before = sorted(folder.iterdir())
    report = quantize(folder, calibration, Validation(validation, digits.tolist()), max_drop=-1)
    assert not report.kept
    assert "not kept; its accuracy is " in str(report)
    assert sorted(folder.iterdir()) == before


def evidence(scores):
    """Of a network of the digits' size whose validation images had these scores."""
    features = {"feature_mean": np.zeros(512), "feature_axes": np.eye(1, 512), "feature_scale": np.ones(1)}
    shares = {"probability": np.ones(len(scores)), "true_probability": np.ones(len(scores)), "known_score": scores}
    indices = {"predicted": np.zeros(len(scores), np.int32), "target": np.zeros(len(scores), np.int32)}
    return Evidence(**{name: value.astype(np.float32) for name, value in (features | shares).items()}, **indices)


@pytest.mark.parametrize(
    ("logit", "known", "scores", "temperature", "worse"),
    [
        # Sure and right throughout; the network itself is right, too, but not sure with such a temperature.
        (1e4, True, None, 10, r"its calibration error is \d\d\.\d\d% and in fp32 0\.00%, a change of 20"),
        # Right, and hardly surer than guessing: by answers of its own also an error that shrinks is a change.
        (0.1, False, None, 1, r"its calibration error is \d+\.\d\d% and in fp32 8\d\.\d\d%, a change of 20"),
        # Known by a score that no image really has.
        (1e7, True, np.full(100, 1e6), 1, r"its share of unknown is 100\.00% and in fp32 0\.00%, a change of 20"),
    ],
)
def test_what_int8_does_worse_than_fp32_is_named_and_leaves_none(  # noqa: PLR0917
    logit, known, scores, temperature, worse, folder, crops
):
    pytest.importorskip("nncf")
    calibration, validation, digits = crops
    exact = Outputs(np.eye(10, dtype=np.float32)[digits] * np.float32(logit), np.zeros((len(digits), 512), np.float32))
    if scores is not None:
        write_evidence(folder, evidence(scores))
    else:
        (folder / EVIDENCE).unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config["resnext"]["calibration"]["temperature"] = temperature
    (folder / "config.json").write_text(json.dumps(config))
    report = quantize(folder, calibration, Validation(validation, digits.tolist() if known else None, exact), 0.2)
    (found,) = report.worse
    assert re.fullmatch(worse + r".*", found)
    assert f"not kept; {found}" in str(report)
    assert not (folder / "openvino").exists()


def test_without_images_there_is_nothing_to_calibrate_on(folder):
    with pytest.raises(QuantizationError, match="0 batches to calibrate on"):
        quantize(folder, [], Validation([]), max_drop=1)


def test_what_is_not_installed_is_named_with_the_remedy(folder, crops, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(QuantizationError, match=r"needs the packages nncf and openvino .*: run pip install nncf "):
        quantize(folder, crops[0], Validation(crops[1]), max_drop=1)


def test_an_error_while_quantizing_leaves_the_folder_as_it_was(folder, crops):
    pytest.importorskip("nncf")

    class Failing(list):
        def __iter__(self):
            yield from self[:3]
            raise LookupError("the third was the last")

    before = sorted(folder.iterdir())
    with pytest.raises(LookupError, match="the third was the last"):
        quantize(folder, Failing(crops[0]), Validation(crops[1]), max_drop=1)
    assert sorted(folder.iterdir()) == before


def test_answers_in_fp32_that_are_known_are_not_computed_again(folder, crops):
    pytest.importorskip("nncf")
    calibration, validation, digits = crops
    exact = Outputs(np.eye(10, dtype=np.float32)[digits], np.zeros((len(digits), 512), np.float32))
    assert quantize(folder, calibration, Validation(validation, digits.tolist(), exact), 1).fp32_accuracy == 1


@pytest.fixture(scope="module")
def quantized_once(crops, tmp_path_factory):
    pytest.importorskip("nncf")
    calibration, validation, digits = crops
    folder = shutil.copytree(DIGITS, tmp_path_factory.mktemp("quantized") / "digits")
    assert quantize(folder, calibration, Validation(validation, digits.tolist()), max_drop=0.05).kept
    return folder


@pytest.fixture
def quantized(quantized_once, tmp_path):
    """A folder of this test's own."""
    return shutil.copytree(quantized_once, tmp_path / "quantized")


def swap(folder):
    """The network of another quantization: as good as any, but not what was measured."""
    file = folder / "openvino" / "int8.bin"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap, r"int8\.bin is not what was measured; make it again .* with python -m"),
        (lambda folder: (folder / "openvino" / "int8.bin").unlink(), r"int8\.bin is not what was measured"),
        (lambda folder: (folder / "openvino" / "int8.xml").write_text("<net>"), r"int8\.xml is not what was measured"),
        (lambda folder: (folder / "openvino" / "int8.json").write_text("[1]"), "was made of other weights than"),
    ],
)
def test_an_int8_network_that_is_not_what_was_measured_is_refused(damage, message, quantized):
    classifier = Classifier()
    asked = Parameters(weights=str(quantized), device="cpu", precision="int8")
    classifier.prepare(asked)
    damage(quantized)
    with pytest.raises(DeviceError, match=message):
        classifier.prepare(asked)


def test_a_damaged_int8_network_of_an_older_folder_is_named(quantized):
    report = quantized / "openvino" / "int8.json"
    known = json.loads(report.read_text())
    del known["graph_sha256"]
    report.write_text(json.dumps(known))
    Classifier().prepare(Parameters(weights=str(quantized), device="cpu", precision="int8"))
    (quantized / "openvino" / "int8.xml").write_text("<net>")
    with pytest.raises(
        DeviceError, match=r"int8\.xml is damaged .*; make it again .* with python -m infer_torchvision"
    ):
        Classifier().prepare(Parameters(weights=str(quantized), device="cpu", precision="int8"))


@pytest.mark.skipif(platform.machine().lower() not in X86, reason="the emulated processor is of the x86 family")
def test_int8_answers_the_same_without_the_instructions_made_for_it(quantized, crops):
    """Processors without VNNI add up in 16 bits, which must not overflow."""
    _, validation, _ = crops
    np.save(quantized / "crops.npy", validation[0])
    code = f"""
import sys
import numpy as np
from pathlib import Path
from infer_torchvision_resnext.resnext.network.openvino_network import OpenVINONetwork, Setup
folder = Path({str(quantized)!r})
network = OpenVINONetwork(folder / "openvino" / "int8.xml", Setup("int8"))
np.save(sys.argv[1], network.run(np.load(folder / "crops.npy")))
print(network.precision)
"""
    older = {"OV_CPU_MAX_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    file = str(quantized / "answers.npy")
    environment = {**os.environ, **older, "PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run(
        [sys.executable, "-c", code, file], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "int8"
    expected = OpenVINONetwork(quantized / "openvino" / "int8.xml", Setup("int8")).run(validation[0])
    assert np.abs(np.load(file) - expected).max() < 1e-4
    assert np.ptp(expected) > 5
