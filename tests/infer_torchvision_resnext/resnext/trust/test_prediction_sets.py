import json

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.linear_model import LogisticRegression

from infer_torchvision_resnext.resnext.trust.prediction_sets import confident_rank, fit_prediction_sets


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
def test_the_sets_are_mapies_with_the_coverage_raised_by_what_confidence_needs(network, coverage, kind):
    pixels, targets = images(600, 1)
    ours = fit_prediction_sets(true_probabilities(network, pixels, targets), targets, 3, coverage)
    later, _ = images(400, 2)
    # On average the usual threshold of all images covers 1 - rank / (images + 1); a class's own is not raised.
    raised = 1 - (confident_rank(600, coverage) + 0.5) / 601
    expected = mapie_holds(network, (pixels, targets), raised, later)[:, kind]
    if (count := (targets == kind).sum()) * (1 - coverage) > 11:
        of_class = targets == kind
        expected |= mapie_holds(network, (pixels[of_class], targets[of_class]), coverage, later)[:, kind]
    else:
        assert count < 220
    probabilities = network.predict_proba(later)
    found = np.array([kind in ours.of(row) for row in probabilities])
    # Ours hold the best class in any case.
    assert (found >= (expected | (probabilities.argmax(axis=1) == kind))).all()
    # A class with a threshold of its own that stays as it is at a higher coverage may be held more often.
    assert (found == (expected | (probabilities.argmax(axis=1) == kind))).mean() > 0.9


def mapie_holds(network, images, coverage, later):
    oracle = SplitConformalClassifier(network, coverage, "lac", prefit=True).conformalize(*images)
    return oracle.predict_set(later)[1][:, :, 0]


def simulated(count, seed, bias=1.0):
    """Probabilities N x 5 and classes; the bias makes two of them too probable."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (count, 5))
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (rows.cumsum(axis=1) > random.random(count)[:, None]).argmax(axis=1)
    rows = np.exp(1.5 * logits + np.array([0, 0, 0, bias, bias]))
    return rows / rows.sum(axis=1, keepdims=True), targets


def test_the_coverage_is_reached_in_nineteen_of_twenty_splits():
    rows, true = simulated(50_000, 10_000)
    of_true = np.take_along_axis(rows, true[:, None], 1)[:, 0]
    reached = []
    for seed in range(200):
        for count, coverage in ((60, 0.95), (150, 0.9), (1000, 0.8)):
            probabilities, targets = simulated(count, seed)
            found = np.take_along_axis(probabilities, targets[:, None], 1)[:, 0]
            thresholds = np.array(fit_prediction_sets(found, targets, 5, coverage).thresholds)
            reached.append((of_true >= thresholds[true]).mean() >= coverage)
    assert np.mean(reached) >= 0.95


@pytest.mark.parametrize("seed", range(10))
def test_a_higher_coverage_never_leaves_out_a_class(seed):
    probabilities, targets = simulated(2000, seed)
    found = np.take_along_axis(probabilities, targets[:, None], 1)[:, 0]
    coverages = np.sort(np.random.default_rng(seed).uniform(0.3, 0.9999, 30))
    for count in (5, 40, 300, 2000):
        fitted = [fit_prediction_sets(found[:count], targets[:count], 5, each).thresholds for each in coverages]
        assert (np.diff(fitted, axis=0) <= 0).all()


def test_more_validation_images_do_not_make_the_sets_larger():
    rows, _ = simulated(2000, 10_000, 0)
    sizes = []
    for count in (60, 120, 240, 480, 960, 1920):
        of_splits = []
        for seed in range(40):
            probabilities, targets = (each[:count] for each in simulated(1920, seed, 0))
            found = np.take_along_axis(probabilities, targets[:, None], 1)[:, 0]
            of_splits.append((rows >= fit_prediction_sets(found, targets, 5, 0.9).thresholds).sum(axis=1).mean())
        sizes.append(np.mean(of_splits))
    assert (np.diff(sizes) < 0.03).all(), sizes


def test_each_class_is_covered_on_other_images(network):
    pixels, targets = images(3000, 3)
    sets = fit_prediction_sets(true_probabilities(network, pixels, targets), targets, 3, 0.9)
    later, true = images(5000, 4)
    held = np.array([each in sets.of(row) for each, row in zip(true, network.predict_proba(later), strict=True)])
    for kind in range(3):
        assert held[true == kind].mean() >= 0.86
    # The most frequent class is covered by the threshold of all.
    assert sets.together == (0,)


def test_thresholds_worked_out_by_hand():
    # Of 100 images at 80 % two or fewer of each ten are lost with 95 % confidence: P(Bin(100, 0.2) >= 14) = 0.953.
    first = np.linspace(0.505, 1, 100)
    sets = fit_prediction_sets(first, np.zeros(100, int), 2, 0.8)
    assert (confident_rank(100, 0.8), sets.thresholds[0]) == (14, first[13])
    # Class 1 is surer of others: 60 images of its own, at 80 % the 12th least, is less than the 23rd of all 160.
    second = np.linspace(0.01, 0.6, 60)
    sets = fit_prediction_sets(np.append(first, second), np.repeat([0, 1], [100, 60]), 2, 0.8)
    assert confident_rank(160, 0.8) == 24
    assert sets.thresholds == (np.sort(np.append(first, second))[23], second[11])
    assert sets.together == (0,)
    assert json.loads(json.dumps(sets.to_dict(("ant", "bee"))))["together"] == ["ant"]


def test_too_few_images_for_the_confidence_are_told_and_take_the_least_of_all():
    sets = fit_prediction_sets(np.linspace(0.4, 1, 40), np.zeros(40, int), 2, 0.95)
    assert sets.thresholds == (0.4, 0.4)
    assert sets.advice() == "coverage = 0.95 needs 59 validation images for 95 % confidence; the model has 40"
    assert sets.to_dict(("ant", "bee"))["confidence"] is None
    assert fit_prediction_sets(np.ones(59), np.zeros(59, int), 2, 0.95).advice() == ""


def test_too_few_images_for_the_coverage_leave_no_class_out():
    sets = fit_prediction_sets(np.full(5, 0.9), np.zeros(5, int), 2, 0.9)
    assert sets.thresholds == (0, 0)
    assert sets.of(np.array([0.001, 0.999])) == (1, 0)


def test_the_best_come_first_and_the_best_is_always_there():
    sets = fit_prediction_sets(np.linspace(0.5, 1, 100), np.arange(100) % 2, 2, 0.9)
    assert sets.of(np.array([0.3, 0.4])) == (1,)
    assert sets.of(np.array([0.7, 0.8])) == (1, 0)


@pytest.mark.parametrize(
    ("count", "coverage", "message"), [(3, 0.9, "expected N of each"), (2, 1.0, r"coverage = 1\.0")]
)
def test_what_gives_no_sets_is_refused(count, coverage, message):
    with pytest.raises(ValueError, match=message):
        fit_prediction_sets(np.ones(count), np.zeros(2, int), 1, coverage)
