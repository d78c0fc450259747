import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from torchmetrics.classification import MulticlassCalibrationError

from infer_torchvision_resnext.resnext.network.outputs import softmax
from infer_torchvision_resnext.resnext.trust.calibration import (
    Bin,
    Calibration,
    calibrate,
    calibrated,
    cross_entropy,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def answers(count, sharpness, classes=4, seed=0):
    """Logits that are too sharp by a factor, and true classes drawn as the logits without it say."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, 1.5, (count, classes))
    targets = np.array([random.choice(classes, p=row) for row in softmax(honest)])
    return (honest * sharpness).astype(np.float32), targets


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose images are their logits."""

    def __init__(self, classes=4):
        self.classes_ = np.arange(classes)
        self.classes = classes

    def fit(self, images, targets):
        return self

    def decision_function(self, images):
        return images

    def predict(self, images):
        return images.argmax(axis=1)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5])
def test_the_temperature_gives_scikit_learns_probabilities(sharpness):
    logits, targets = answers(3000, sharpness)
    oracle = CalibratedClassifierCV(FrozenEstimator(Given()), method="temperature").fit(logits, targets)
    ours = calibrated(logits, fit_temperature(logits, targets))
    assert ours == pytest.approx(oracle.predict_proba(logits), abs=1e-4)
    assert log_loss(targets, ours) <= log_loss(targets, oracle.predict_proba(logits)) + 1e-9


def test_the_temperature_is_the_one_that_was_put_in():
    logits, targets = answers(20_000, 2.5)
    assert fit_temperature(logits, targets) == pytest.approx(2.5, rel=0.03)


def test_answers_that_are_all_right_get_no_endless_confidence():
    # Two classes, all right by a logit of 2: with smoothing s, the true class's probability is to be 1 - s / 2.
    logits, targets = np.array([[2.0, 0.0], [0.0, 2.0]], np.float32), np.array([0, 1])
    temperature = fit_temperature(logits, targets, smoothing=0.02)
    assert calibrated(logits, temperature)[0] == pytest.approx([0.99, 0.01])
    assert fit_temperature(logits, targets) == 1 / 20


def test_answers_that_are_all_wrong_become_as_flat_as_may_be():
    assert fit_temperature(np.array([[3.0, 0.0]], np.float32), np.array([1])) == 20


def test_calibrated_with_1_is_the_softmax():
    logits = np.random.default_rng(0).normal(0, 3, (5, 3)).astype(np.float32)
    assert np.array_equal(calibrated(logits, 1), softmax(logits))


@pytest.mark.parametrize("bins", [10, 15])
def test_the_calibration_error_is_torchmetrics(bins):
    logits, targets = answers(500, 2.0)
    probabilities = softmax(logits)
    oracle = MulticlassCalibrationError(num_classes=4, n_bins=bins, norm="l1")
    expected = float(oracle(torch.from_numpy(probabilities), torch.from_numpy(targets)))
    assert expected_calibration_error(probabilities, targets, bins) == pytest.approx(expected, abs=1e-6)


def test_the_cross_entropy_is_scikit_learns():
    logits, targets = answers(200, 2.0)
    assert cross_entropy(softmax(logits), targets) == pytest.approx(log_loss(targets, softmax(logits)))


def test_reliability_worked_out_by_hand():
    probabilities = np.array([[0.6, 0.4], [0.62, 0.38], [0.1, 0.9], [0.05, 0.95], [0.0, 1.0]])
    found = reliability(probabilities, np.array([0, 1, 1, 1, 0]), bins=10)
    # 0.6 closes the step from 0.5, as 0.9 closes that from 0.8.
    assert [each.images for each in found] == [1, 1, 1, 2]
    assert found[0] == Bin(1, pytest.approx(0.6), 1.0)
    assert found[3] == Bin(2, pytest.approx(0.975), 0.5)
    by_hand = (abs(0.6 - 1) + abs(0.62 - 0) + abs(0.9 - 1) + 2 * abs(0.975 - 0.5)) / 5
    assert expected_calibration_error(probabilities, np.array([0, 1, 1, 1, 0]), 10) == pytest.approx(by_hand)


def test_sharp_answers_are_softened_and_judged_on_images_that_were_not_fitted():
    logits, targets = answers(1000, 3.0)
    found = calibrate(logits, targets)
    assert found.temperature == pytest.approx(3, rel=0.15)
    assert found.ece_before > 0.15
    assert found.ece_after < 0.05
    assert found.loss_after < found.loss_before == pytest.approx(cross_entropy(softmax(logits), targets))
    assert found.images == 1000
    assert not found.reason


def test_other_images_agree_with_the_judgment():
    logits, targets = answers(2000, 3.0)
    found = calibrate(logits[:1000], targets[:1000])
    held = expected_calibration_error(calibrated(logits[1000:], found.temperature), targets[1000:])
    assert held == pytest.approx(found.ece_after, abs=0.03)


def test_too_few_images_leave_the_temperature_alone_and_say_so():
    found = calibrate(*answers(99, 3.0))
    assert found.temperature == 1
    assert found.reason == "99 validation images are too few to fit a temperature: it takes 100"
    assert found.ece_after == found.ece_before


def test_a_temperature_that_does_not_carry_over_is_not_taken():
    # Where probabilities hold already, what a temperature fits is chance.
    left = [calibrate(*answers(100, 1.0, seed=seed)) for seed in range(8)]
    assert {found.temperature for found in left if found.reason} == {1.0}
    assert any("raises the others' loss" in found.reason for found in left)
    assert all(found.loss_after <= found.loss_before for found in left)


def test_it_survives_json():
    found = calibrate(*answers(300, 2.0))
    assert Calibration.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", 0), ("temperature", math.inf), ("images", 0), ("ece_before", 1.2), ("loss_after", -1)],
)
def test_what_no_calibration_gives_is_refused_by_name(key, value):
    content = calibrate(*answers(300, 2.0)).model_dump() | {key: value}
    with pytest.raises(ValidationError, match=key):
        Calibration.model_validate(content)
