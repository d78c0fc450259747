import json

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController
from scipy.stats import binom

from infer_torchvision_resnext.resnext.trust.fixed_sequence import count_flawless
from infer_torchvision_resnext.resnext.trust.promises import TARGETS, fit_class_thresholds, fit_precision_thresholds

GRID = np.linspace(0, 1, 2001)


def draw(count, accuracies, seed):
    """Answers, the right ones more often among the sure: probability, class, true class.

    Of an answer of class c at probability s, 1 - 3 (1 - accuracy of c) (1 - s)^2 are right.
    """
    random = np.random.default_rng(seed)
    predicted, probability = random.integers(0, len(accuracies), count), random.random(count)
    right = random.random(count) < chance_of(probability, np.array(accuracies)[predicted])
    return probability, predicted, np.where(right, predicted, (predicted + 1) % len(accuracies))


def chance_of(probability, accuracy):
    return np.clip(1 - 3 * (1 - accuracy) * (1 - probability) ** 2, 0, 1)


def truth(promises, accuracies):
    """Precision and share of the answers that are given, exactly, over all classes and of each."""
    right, answered = [], []
    for accuracy, least in zip(accuracies, promises.thresholds, strict=True):
        given = np.inf if least is None else least
        answered.append((given <= GRID).mean())
        right.append((chance_of(GRID, accuracy) * (given <= GRID)).mean())
    of_each = [hit / share for hit, share in zip(right, answered, strict=True) if share]
    return (sum(right) / sum(answered) if any(answered) else 1.0), np.mean(answered), of_each


SETTINGS = [
    ((0.8, 0.86, 0.9, 0.94), 240, 0.9, fit_precision_thresholds),
    ((0.5, 0.9, 0.9, 0.9, 0.9, 0.9), 360, 0.9, fit_precision_thresholds),
    ((0.93,) * 3, 600, 0.95, fit_precision_thresholds),
    ((0.85, 0.94), 500, 0.9, fit_class_thresholds),
]


@pytest.mark.parametrize(("accuracies", "count", "target", "fit"), SETTINGS)
def test_the_promise_is_kept_in_nineteen_of_twenty_splits(accuracies, count, target, fit):
    kept, shares = [], []
    for seed in range(200):
        promises = fit(*draw(count, accuracies, seed), len(accuracies), target)
        precision, share, of_each = truth(promises, accuracies)
        # A class keeps its promise with the confidence that all together do.
        kept += [each >= target for each in of_each] if fit is fit_class_thresholds else [precision >= target]
        shares.append(share)
    assert np.mean(kept) >= 0.95
    assert np.mean(shares) > 0.3


def test_a_network_that_knows_nothing_of_its_mistakes_is_rarely_believed():
    # Just below the target at every threshold: the loosest one that a bound for it alone allows is wrong more often
    # than the one in twenty that the bound permits.
    believed = alone = 0
    for seed in range(100):
        right = np.random.default_rng(seed).random(360) < 0.895
        promises = fit_precision_thresholds(np.linspace(1, 0.1, 360), np.zeros(360, int), np.where(right, 0, 1), 2, 0.9)
        numbers = np.arange(1, 361)
        believed += promises.answered > 0
        alone += (binom.sf(np.cumsum(right) - 1, numbers, 0.9) <= 0.05).any()
    assert believed <= 5 < alone


@pytest.mark.parametrize("fit", [fit_precision_thresholds, fit_class_thresholds])
@pytest.mark.parametrize("seed", range(4))
def test_a_stricter_target_never_answers_more(seed, fit):
    random = np.random.default_rng(seed)
    answers = draw(int(random.integers(40, 500)), random.uniform(0.4, 1, 5), seed)
    # Equal probabilities occur, too.
    answers = np.round(answers[0], 2 if seed % 2 else 9), *answers[1:]
    wanted = np.sort(np.append(random.uniform(0.4, 0.9999, 12), [0.9, 0.95]))
    fitted = [fit(*answers, 5, target) for target in wanted]
    thresholds = np.array([[np.inf if least is None else least for least in each.thresholds] for each in fitted])
    assert (thresholds[:-1] <= thresholds[1:]).all()
    assert (np.diff([each.answered for each in fitted]) <= 0).all()


def _share(answers, count, accuracies, target):
    fitted = fit_precision_thresholds(*(each[:count] for each in answers), len(accuracies), target)
    return truth(fitted, accuracies)[1]


@pytest.mark.parametrize("target", [0.9, 0.95])
def test_more_validation_images_do_not_give_fewer_answers(target):
    accuracies = (0.88, 0.9, 0.92, 0.94)
    splits = [draw(960, accuracies, seed) for seed in range(40)]
    shares = [
        np.mean([_share(answers, count, accuracies, target) for answers in splits])
        for count in (60, 120, 240, 480, 960)
    ]
    assert (np.diff(shares) > -0.01).all()
    assert shares[-1] > 0.5


def test_flawless_answers_need_the_number_that_the_exact_interval_does():
    assert [count_flawless(target) for target in (0.9, 0.95, 0.99)] == [29, 59, 299]
    for count, answered in ((29, 1), (28, 0)):
        found = fit_precision_thresholds(np.linspace(1, 0.5, count), np.zeros(count, int), np.zeros(count, int), 2, 0.9)
        assert found.answered == answered


def test_what_would_be_needed_is_said():
    right = np.zeros(60, int)
    found = fit_precision_thresholds(np.linspace(1, 0.5, 60), right, right, 2, 0.99)
    assert (found.thresholds, found.answered, found.highest) == ((None, None), 0, 0.95)
    assert found.advice() == (
        "target_precision = 0.99 answers 0.0% of the 60 validation images. With these images at most 0.95 can be "
        "promised; 0.99 needs at least 299 right answers without a wrong one"
    )
    assert fit_precision_thresholds(np.linspace(1, 0.5, 60), right, right, 2, 0.95).advice() == ""


def test_a_class_with_too_few_images_shares_the_threshold_unless_it_has_to_keep_the_promise_itself():
    predicted = np.array([0] * 60 + [1] * 20)
    answers = np.linspace(1, 0.5, 80), predicted, predicted, 3
    together, alone = (fit(*answers, 0.9) for fit in (fit_precision_thresholds, fit_class_thresholds))
    assert (together.thresholds, together.together) == ((0.5, 0.5, 0.5), (0, 1, 2))
    assert alone.thresholds[1:] == (None, None)
    assert alone.never_answered() == (1, 2)
    assert alone.together == ()
    assert not alone.keeps(1, 1.0)
    assert alone.keeps(0, 0.7)
    assert json.loads(json.dumps(alone.to_dict(("ant", "bee", "fly"))))["never_answered"] == ["bee", "fly"]


def test_a_class_that_is_often_wrong_is_never_answered_and_costs_the_others_nothing():
    predicted = np.array([0] * 100 + [1] * 100)
    targets = np.array([0] * 100 + [0, 1] * 50)
    found = fit_precision_thresholds(np.tile(np.linspace(1, 0.5, 100), 2), predicted, targets, 2, 0.9)
    assert found.thresholds == (0.5, None)
    assert found.together == (0,)
    assert found.answered == 0.5


def test_equal_probabilities_pass_together():
    # 40 right ones and then 60 of the same probability, half of them wrong.
    targets = np.array([0] * 40 + [0, 1] * 30)
    found = fit_precision_thresholds(np.array([0.9] * 40 + [0.8] * 60), np.zeros(100, int), targets, 2, 0.9)
    assert found.thresholds[0] == 0.9


def test_what_mapies_controller_of_precision_lets_through_is_let_through():
    probability, predicted, _ = draw(3000, (0.8,), 0)
    right = np.random.default_rng(5).random(3000) < chance_of(probability, 0.8)
    ours = fit_precision_thresholds(probability, predicted, np.where(right, 0, 1), 2, 0.9)
    oracle = BinaryClassificationController(
        lambda images: np.stack([1 - images[:, 0], images[:, 0]], axis=1),
        risk="precision",
        target_level=0.9,
        confidence_level=0.95,
        list_predict_params=np.linspace(0, 0.9, 10),
    ).calibrate(probability[:, None], right.astype(int))
    # Its bound is not exact, and divides the error among all thresholds.
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
        fit_precision_thresholds(*arguments)


def test_without_images_nothing_is_promised():
    found = fit_precision_thresholds(np.empty(0), np.empty(0, int), np.empty(0, int), 2, 0.9)
    assert (found.thresholds, found.answered, found.highest) == ((None, None), 0, 0)


def test_the_targets_ascend():
    assert list(TARGETS) == sorted(set(TARGETS))
