import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model.model import WeightsError
from infer_torchvision_resnext.parameters.task import Parameters as InferenceParameters
from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.folder.golden import read_golden, write_golden
from train_torchvision_resnext.resnext.folder.model_folder import read_config
from train_torchvision_resnext.resnext.trust.evidence import read_evidence, write_evidence
from train_torchvision_resnext.results.trust import unknown_reliability
from train_torchvision_resnext.training import train

pytestmark = pytest.mark.usefixtures("no_report")


def settings(folder, **values):
    more = {"epochs": "4", "batch_size": "16", "optimizer": "adamw", "learning_rate": "0.003", "export_pth": "False"}
    return read_host_map({**TINY, **more, "output_folder": str(folder), **values})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Five digits, 200 validation images."""
    digits = write_digits(tmp_path_factory.mktemp("digits"), {"train": 40, "val": 40}, labels=range(5))
    return train(digits, settings(tmp_path_factory.mktemp("runs"), label_smoothing="0.3"))


def test_the_temperature_is_in_the_folder_and_lowers_the_loss(trained):
    found = read_config(trained.model_folder).resnext.calibration
    # Smoothed labels make answers less sure than they are right.
    assert found.temperature < 1
    assert found.images == 200
    assert found.loss_before == pytest.approx(trained.evaluation.loss, rel=1e-4)
    assert found.loss_after < found.loss_before
    assert found.ece_after < found.ece_before
    assert not found.reason


def test_the_evidence_says_what_the_metrics_say(trained):
    evidence = read_evidence(trained.model_folder)
    assert (evidence.predicted == evidence.target).mean() == pytest.approx(trained.evaluation.top1)
    assert np.bincount(evidence.target).tolist() == [40] * 5
    right = evidence.predicted == evidence.target
    assert evidence.true_probability[right] == pytest.approx(evidence.probability[right])
    assert -np.log(evidence.true_probability.astype(float)).mean() < trained.evaluation.loss
    evidence.fits(5, 512)
    # The validation images are like the training images: most are about as near as those.
    assert evidence.known_features.axes.shape[1] == 512


def test_metrics_tell_what_a_promise_would_cost(trained):
    trust = json.loads((trained.model_folder / "metrics.json").read_text(encoding="utf-8"))["trust"]
    assert [each["target_precision"] for each in trust["promises"]] == [0.9, 0.95, 0.99]
    assert trust["promises"][0]["answered"] >= trust["promises"][2]["answered"]
    assert set(trust["promises"][0]["thresholds"]) == set("01234")
    assert 1 <= trust["sets"][0]["mean_size"] <= trust["sets"][1]["mean_size"] <= 5


def test_the_report_shows_whether_probabilities_hold(trained):
    report = trained.model_folder / "report"
    assert (report / "reliability.png").stat().st_size > 10_000
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "What can be promised" in page
    assert "the expected calibration error goes from" in page
    assert "target_precision = 0.95 answers" in page
    assert "Unknown images are found unreliably: 200 training images with 512 features each are too few" in page


def test_the_report_says_how_reliable_unknown_is():
    assert "too few" in unknown_reliability(255, 512)
    assert unknown_reliability(1256, 512).startswith(
        "Unknown images of another kind are usually found, by 1,256 training"
    )


def test_the_golden_set_knows_what_the_configuration_says(trained):
    golden = read_golden(trained.model_folder)
    told = golden.contradictions({"costs": "of another"})
    named = [
        "label_names",
        "temperature",
        "costs",
        "trust.safetensors",
        "resize_size",
        "crop_size",
        "mean",
        "std",
        "value_range",
    ]
    assert [each.partition(" is ")[0] for each in told] == named
    facts = read_config(trained.model_folder).facts(read_evidence(trained.model_folder))
    assert not golden.contradictions(facts)


def test_evidence_of_a_like_training_is_refused_until_the_own_is_back(trained, tmp_path):
    folder = shutil.copytree(trained.model_folder, tmp_path / "model")
    own = read_evidence(folder)
    asked, classifier = InferenceParameters(weights=str(folder), device="cpu"), Classifier(tmp_path / "cache")
    write_evidence(folder, replace(own, known_score=own.known_score[::-1].copy()))
    with pytest.raises(WeightsError, match=r"trust\.safetensors is not what it was when .*; put it back as it was, or"):
        classifier.prepare(asked)
    write_evidence(folder, own)
    classifier.prepare(asked)


def test_a_folder_of_before_keeps_whatever_evidence_it_has(trained, tmp_path):
    folder = shutil.copytree(trained.model_folder, tmp_path / "model")
    golden = read_golden(folder)
    of_before = {key: value for key, value in golden.facts.items() if key != "trust.safetensors"}
    write_golden(folder, replace(golden, facts=of_before))
    (folder / "trust.safetensors").unlink()
    classifier = Classifier(tmp_path / "cache")
    classifier.prepare(InferenceParameters(weights=str(folder), device="cpu"))
    assert classifier.describe()["trust"]["calibrated"]


def test_inference_keeps_what_training_promised(trained, tmp_path):
    classifier = Classifier(tmp_path)
    digits = trained.evaluation.labels
    asked = {"weights": str(trained.model_folder), "device": "cpu", "target_precision": 0.9, "coverage": 0.9}
    for runtime in ("torch", "openvino", "onnxruntime"):
        classifier.prepare(InferenceParameters(**asked, runtime=runtime))
        stripes = np.tile(np.array([[0, 255] * 8], np.uint8), (16, 1))
        frames = [np.repeat(stripes[..., None], 3, 2), np.full((16, 16, 3), 255, np.uint8)]
        found = classifier.classify(frames)
        assert {each.doubt.kind for each in found} == {"unlike"}
        assert all(set(each.possible) <= set(digits) for each in found)
        trust = classifier.describe()["trust"]
        assert trust["calibrated"]
        assert trust["promises"]["target_precision"] == 0.9


def test_few_validation_images_are_said_and_nothing_is_fitted_on_them(tmp_path):
    result = train(write_digits(tmp_path / "digits", {"train": 10, "val": 5}), settings(tmp_path / "runs", epochs="1"))
    found = read_config(result.model_folder).resnext.calibration
    assert found.temperature == 1
    assert any(note.startswith("not calibrated: 15 validation images are too few") for note in result.notes)
    assert len(read_evidence(result.model_folder).target) == 15


def test_an_error_costs_the_promises_and_not_the_model(tmp_path, monkeypatch):
    from train_torchvision_resnext.results import trust

    def full(*_):
        raise MemoryError("no room for the covariance")

    monkeypatch.setattr(trust.KnownFeatures, "of", full)
    result = train(write_digits(tmp_path / "digits", {"train": 10, "val": 5}), settings(tmp_path / "runs", epochs="1"))
    assert "nothing can be promised: no room for the covariance" in result.notes
    config = read_config(result.model_folder).resnext
    assert config.calibration is None
    assert config.no_evidence == "nothing can be promised: no room for the covariance"
    assert read_evidence(result.model_folder) is None
