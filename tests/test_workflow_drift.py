"""The inference task on images that are no longer like those of validation."""

import shutil

import numpy as np
import pytest

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.trust.calibration import calibrated
from infer_torchvision_resnext.resnext.trust.evidence import Evidence, write_evidence
from infer_torchvision_resnext.resnext.trust.open_set import KnownFeatures
from tests.inference_output import result

RANDOM = np.random.default_rng(0)


def crops(photo, count):
    places = RANDOM.integers(0, 300, (count, 2))
    return [photo[top : top + 96, left : left + 96] for top, left in places]


@pytest.fixture(scope="module")
def known_folder(tiny_folder, tiny_state, photos, tmp_path_factory):
    """The tiny model with evidence: it learned one photo, and was validated on 100 other places of it."""
    folder = tmp_path_factory.mktemp("models") / "known"
    shutil.copytree(tiny_folder, folder)
    classifier = Classifier()
    classifier.prepare(Parameters(weights=str(folder), device="cpu", embeddings=True))
    features = np.array([each.embedding for each in classifier.classify(crops(photos[0], 200))], np.float32)
    logits = features @ tiny_state["fc.weight"].numpy().T + tiny_state["fc.bias"].numpy()
    known = KnownFeatures.of(logits[:100], features[:100])
    probabilities = calibrated(logits[100:], 1)
    best = probabilities.argmax(axis=1).astype(np.int32)
    evidence = Evidence(
        probability=probabilities.max(axis=1).astype(np.float32),
        true_probability=probabilities.max(axis=1).astype(np.float32),
        predicted=best,
        target=best,
        known_score=known.scores(logits[100:], features[100:]).astype(np.float32),
        feature_mean=known.mean,
        feature_axes=known.axes,
        feature_scale=np.float32([known.scale]),
    )
    write_evidence(folder, evidence)
    return folder


def test_an_alarm_when_images_are_other_ones_and_none_before(workflow, known_folder, photos):
    wf, task = workflow
    task.set_parameters({"weights": str(known_folder), "device": "cpu", "drift_window": 25})
    for image in crops(photos[0], 50):
        wf.run_on(array=image)
        assert result(task)["notes"] == []
    drift = result(task)["trust"]["drift"]
    assert (drift["images"], drift["alarm"]) == (25, False)
    assert drift["known_score"]["expected"][0] < drift["known_score"]["value"] < drift["known_score"]["interval"][1]
    for _ in range(25):
        wf.run_on(array=RANDOM.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    drift = result(task)["trust"]["drift"]
    assert (drift["unknown"]["value"], drift["alarm"]) == (1, True)
    assert [note[:40] for note in result(task)["notes"]] == [
        "drift: images are less like what was lea",
        "drift: more are unknown than of validati",
    ]
    task.set_parameters({"drift_window": 0})
    wf.run_on(array=photos[0])
    assert "drift" not in result(task)["trust"]


def test_a_model_without_evidence_says_so(tiny, photos):
    wf, task = tiny
    task.set_parameters({"drift_window": 25})
    with pytest.raises(
        RuntimeError,
        match=r"drift_window = 25: requires trust\.safetensors, .* it was not trained by",
    ):
        wf.run_on(array=photos[0])
