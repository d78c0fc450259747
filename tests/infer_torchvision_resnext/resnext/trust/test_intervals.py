import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from infer_torchvision_resnext.resnext.trust.intervals import bootstrap, macro_f1, macro_f1_interval, wilson


@pytest.mark.parametrize(("successes", "count"), [(0, 5), (1, 5), (9, 10), (10, 10), (344, 360), (7, 3000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilsons_interval_is_scipys(successes, count, confidence):
    expected = binomtest(successes, count).proportion_ci(confidence, method="wilson")
    assert wilson(successes, count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_without_images_nothing_is_known():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((4, 3), "4 successes of 3"), ((-1, 3), "-1 successes of 3"), ((1, 3, 1.0), "confidence 1.0")],
)
def test_what_is_no_proportion_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson(*arguments)


def test_macro_f1_is_scikit_learns():
    random = np.random.default_rng(0)
    targets, predicted = random.integers(0, 6, 200), random.integers(1, 7, 200)
    expected = f1_score(targets, predicted, average="macro")
    assert macro_f1(predicted, targets, 9) == pytest.approx(expected)


def test_a_class_that_neither_occurs_nor_is_predicted_does_not_count():
    # F1 of class 0 is 2 * 1 / (1 + 2), of class 1 it is 2 * 1 / (2 + 1).
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]), 5) == pytest.approx(2 / 3)


def test_the_bootstrap_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = bootstrap(lambda drawn: float(values[drawn].mean()), len(values))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_the_interval_of_macro_f1_holds_the_true_one_and_narrows_with_more_images():
    random = np.random.default_rng(2)

    def answers(count):
        targets = random.integers(0, 3, count)
        return np.where(random.random(count) < 0.8, targets, (targets + 1) % 3), targets

    widths = []
    for count in (100, 2500):
        low, high = macro_f1_interval(*answers(count), 3)
        assert low < 0.8 < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 5, rel=0.3)
    assert macro_f1_interval(np.array([0, 1]), np.array([0, 1]), 2) == (1, 1)
