import json

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController

from infer_torchvision_resnext.resnext.trust.intervals import wilson
from infer_torchvision_resnext.resnext.trust.promises import promise


def answers(count, classes, seed):
    """Honest answers: a class, a probability, and the true class, right as often as the probability says."""
    random = np.random.default_rng(seed)
    probability, predicted = random.beta(6, 1, count), random.integers(0, classes, count)
    right = random.random(count) < probability
    return probability, predicted, np.where(right, predicted, (predicted + 1) % classes)


def test_the_promise_rests_on_the_lower_end_of_the_interval():
    # 35 of 35 promise 0.901, 34 of 34 promise 0.898: at 35 right answers the threshold is the least of these.
    assert wilson(34, 34)[0] < 0.9 < wilson(35, 35)[0]
    probability = np.linspace(0.99, 0.6, 40)
    right = np.arange(40) < 35
    found = promise(probability, np.zeros(40, int), np.where(right, 0, 1), 2, 0.9)
    assert found.thresholds[0] == probability[34]
    assert found.answered == 35 / 40


def test_a_class_with_too_few_images_gets_no_threshold_and_is_named():
    found = promise(np.full(34, 0.9), np.zeros(34, int), np.zeros(34, int), 2, 0.9)
    assert found.thresholds == (None, None)
    assert found.never_answered() == (0, 1)
    assert not found.keeps(0, 1.0)
    assert json.loads(json.dumps(found.to_dict(("ant", "bee"))))["never_answered"] == ["ant", "bee"]


def test_classes_with_few_images_are_held_to_it_together():
    predicted = np.array([0] * 40 + [1] * 20 + [2] * 20)
    found = promise(np.linspace(1, 0.5, 80), predicted, predicted, 3, 0.9)
    assert found.together == (1, 2)
    assert found.thresholds[1] == found.thresholds[2] == 0.5
    assert found.thresholds[0] > 0.7
    assert found.keeps(1, 0.5)
    assert not found.keeps(1, 0.49)


def test_a_class_that_is_often_wrong_is_never_answered_and_costs_the_others_nothing():
    predicted = np.array([0] * 100 + [1] * 100)
    targets = np.array([0] * 100 + [0, 1] * 50)
    found = promise(np.tile(np.linspace(1, 0.5, 100), 2), predicted, targets, 2, 0.9)
    assert found.thresholds == (0.5, None)
    assert found.together == ()
    assert found.answered == 0.5


def test_equal_probabilities_pass_together():
    # 40 right ones and then 60 of the same probability, half of them wrong.
    targets = np.array([0] * 40 + [0, 1] * 30)
    found = promise(np.array([0.9] * 40 + [0.8] * 60), np.zeros(100, int), targets, 2, 0.9)
    assert found.thresholds[0] == 0.9


def test_the_promise_is_kept_on_other_images_in_nineteen_of_twenty_splits():
    kept = []
    for seed in range(100):
        found = promise(*answers(600, 3, seed), 3, 0.9)
        probability, predicted, targets = answers(20_000, 3, 1000 + seed)
        given = np.array([found.keeps(*each) for each in zip(predicted, probability, strict=True)])
        kept.append(not given.any() or (predicted == targets)[given].mean() >= 0.9)
    assert np.mean(kept) >= 0.95


def test_what_mapies_controller_of_precision_lets_through_is_let_through():
    probability, predicted, _ = answers(3000, 1, 0)
    right = np.random.default_rng(5).random(3000) < probability
    ours = promise(probability, predicted, np.where(right, 0, 1), 2, 0.9)
    oracle = BinaryClassificationController(
        lambda images: np.stack([1 - images[:, 0], images[:, 0]], axis=1),
        risk="precision",
        target_level=0.9,
        confidence_level=0.975,
        list_predict_params=np.array([0.7, 0.8, 0.9]),
    ).calibrate(probability[:, None], right.astype(int))
    # Its bound also pays for trying several thresholds, so that it lets less through.
    assert ours.thresholds[0] <= oracle.best_predict_param < ours.thresholds[0] + 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(2), np.zeros(3, int), np.zeros(3, int), 2, 0.9), "expected N of each"),
        ((np.ones(2), np.zeros(2, int), np.zeros(2, int), 2, 1.0), "target_precision = 1.0"),
    ],
)
def test_what_is_no_promise_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        promise(*arguments)


def test_without_images_nothing_is_promised():
    found = promise(np.empty(0), np.empty(0, int), np.empty(0, int), 2, 0.9)
    assert (found.thresholds, found.answered) == ((None, None), 0)
