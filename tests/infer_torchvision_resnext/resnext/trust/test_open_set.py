import numpy as np
import pytest
import torch
from pytorch_ood.detector import GEN, fDBD

from infer_torchvision_resnext.resnext.trust.open_set import BoundaryDistance, entropy_scores, threshold


def network_of(classes, features, seed=0):
    """A classifier, and features of images with its logits."""
    torch.manual_seed(seed)
    head = torch.nn.Linear(features, classes)
    found = torch.rand(40, features) * 3
    with torch.inference_mode():
        return head, found, head(found)


@pytest.mark.parametrize("classes", [2, 3, 30])
def test_boundary_distances_are_pytorch_oods(classes):
    head, features, logits = network_of(classes, 16)
    oracle = fDBD(None, head).fit_features(features[:20])
    weight = head.weight.detach().numpy()
    ours = BoundaryDistance(weight, features[:20].numpy().mean(axis=0)).scores(logits.numpy(), features.numpy())
    assert ours == pytest.approx(-oracle.predict_features(features).numpy(), rel=1e-4)


def test_a_boundary_distance_worked_out_by_hand():
    # Best is class 0. Borders: (3 - 1) / |(1, 0) - (0, 1)| and (3 - 0) / |(1, 0) - (-2, 4)|; |(3, 4) - 0| = 5.
    weight, logits = np.array([[1.0, 0], [0, 1], [-2, 4]]), np.array([[3.0, 1, 0]])
    (score,) = BoundaryDistance(weight, np.zeros(2)).scores(logits, np.array([[3.0, 4]]))
    assert score == pytest.approx((2 / np.sqrt(2) + 3 / 5) / 2 / 5)


def test_classes_of_equal_weights_have_no_border_between_them():
    (score,) = BoundaryDistance(np.array([[1.0], [1.0], [3.0]]), np.zeros(1)).scores(
        np.array([[5.0, 4, 1]]), np.array([[2.0]])
    )
    assert score == pytest.approx((0 + 4 / 2) / 2 / 2)


@pytest.mark.parametrize(
    ("weight", "mean", "message"),
    [
        (np.zeros((1, 3)), np.zeros(3), "C at least 2"),
        (np.zeros((2, 3)), np.zeros(4), r"weights of shape \(2, 3\) and a mean of shape \(4,\)"),
        (np.zeros((2, 3)), np.full(3, np.nan), "hold NaN or infinity"),
    ],
)
def test_what_is_no_classifier_is_refused(weight, mean, message):
    with pytest.raises(ValueError, match=message):
        BoundaryDistance(weight, mean)


@pytest.mark.parametrize("classes", [3, 250])
def test_entropies_are_pytorch_oods(classes):
    logits = np.random.default_rng(0).normal(0, 1, (20, classes)).astype(np.float32)
    kept = min(classes, 100)
    expected = -GEN.score(torch.from_numpy(logits), M=100).numpy() * kept
    assert entropy_scores(logits) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("share", "passing"), [(1, 100), (0.99, 99), (0.95, 95), (0.5, 50), (0.0001, 1)])
def test_the_threshold_lets_the_share_pass_and_not_one_more(share, passing):
    known = np.random.default_rng(0).permutation(100).astype(float)
    assert (known >= threshold(known, share)).sum() == passing


def test_of_few_images_all_pass():
    assert threshold(np.array([3.0, 2.0, 5.0]), 0.99) == 2


def test_equal_scores_pass_together():
    assert threshold(np.array([1.0, 1, 1, 2]), 0.75) == 1


@pytest.mark.parametrize(("known", "share"), [([], 0.9), ([1.0], 0), ([1.0], 1.1)])
def test_a_threshold_needs_images_and_a_share(known, share):
    with pytest.raises(ValueError, match="expected at least one, and a share"):
        threshold(np.array(known), share)
