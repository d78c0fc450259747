import json

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.linear_model import LogisticRegression

from infer_torchvision_resnext.resnext.trust.prediction_sets import prediction_sets


def images(count, seed):
    random = np.random.default_rng(seed)
    targets = random.choice(3, count, p=[0.6, 0.3, 0.1])
    return random.normal(0, 1, (count, 2)) + np.array([[0, 0], [1.5, 0], [0, 2]])[targets], targets


@pytest.fixture(scope="module")
def network():
    return LogisticRegression().fit(*images(300, 0))


def true_probabilities(network, pixels, targets):
    return np.take_along_axis(network.predict_proba(pixels), targets[:, None], 1)[:, 0]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("kind", range(3))
def test_the_sets_of_a_class_are_mapies_of_its_images_alone(network, coverage, kind):
    pixels, targets = images(600, 1)
    ours = prediction_sets(true_probabilities(network, pixels, targets), targets, 3, coverage)
    of_class = targets == kind
    oracle = SplitConformalClassifier(network, coverage, "lac", prefit=True)
    oracle.conformalize(pixels[of_class], targets[of_class])
    later, _ = images(400, 2)
    expected = oracle.predict_set(later)[1][:, kind, 0]
    probabilities = network.predict_proba(later)
    found = np.array([kind in ours.of(row) for row in probabilities])
    # Ours hold the best class in any case.
    assert np.array_equal(found, expected | (probabilities.argmax(axis=1) == kind))


def test_each_class_is_covered_on_other_images(network):
    pixels, targets = images(3000, 3)
    sets = prediction_sets(true_probabilities(network, pixels, targets), targets, 3, 0.9)
    later, true = images(5000, 4)
    held = np.array([each in sets.of(row) for each, row in zip(true, network.predict_proba(later), strict=True)])
    for kind in range(3):
        assert held[true == kind].mean() >= 0.86
    assert sets.together == ()


def test_thresholds_worked_out_by_hand():
    # Of 9 images and 80 %, the 8th best of 10 places: the second least. Class 1 has 3 images, too few for 80 %.
    probabilities = np.array([0.91, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.1, 0.25, 0.35])
    sets = prediction_sets(probabilities, np.array([0] * 9 + [1] * 3), 2, 0.8)
    assert sets.thresholds[0] == 0.3
    # Of all 12, the 11th best of 13 places: the second least.
    assert sets.thresholds[1] == 0.2
    assert sets.together == (1,)
    assert json.loads(json.dumps(sets.to_dict(("ant", "bee"))))["together"] == ["bee"]


def test_too_few_images_for_the_coverage_leave_no_class_out():
    sets = prediction_sets(np.full(5, 0.9), np.zeros(5, int), 2, 0.9)
    assert sets.thresholds == (0, 0)
    assert sets.of(np.array([0.001, 0.999])) == (1, 0)


def test_the_best_come_first_and_the_best_is_always_there():
    sets = prediction_sets(np.linspace(0.5, 1, 100), np.arange(100) % 2, 2, 0.9)
    assert sets.of(np.array([0.3, 0.4])) == (1,)
    assert sets.of(np.array([0.7, 0.8])) == (1, 0)


@pytest.mark.parametrize(
    ("count", "coverage", "message"), [(3, 0.9, "expected N of each"), (2, 1.0, r"coverage = 1\.0")]
)
def test_what_gives_no_sets_is_refused(count, coverage, message):
    with pytest.raises(ValueError, match=message):
        prediction_sets(np.ones(count), np.zeros(2, int), 1, coverage)
